"""Texts and values of strangers that Hog, its parser and the rendering of messages read: time grows linearly.

Every pattern of the host's `re` in these rooms has its entry here with the way in which it is used; a new one without
an entry fails.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluators.generation import is_errored
from evaluators.hog import HogCompileError, HogEvaluator, HogRuntimeError, compile_program
from evaluators.hog.evaluator import message_string
from evaluators.hog.parser.lexer import SourceText, tokenize
from evaluators.hog.runtime.date_text import epoch_of_text
from evaluators.hog.runtime.values import number_of
from evaluators.messages import read_conversation, read_tools, render_input, render_output, render_tools, scrubbed
from evaluators.verdict import Skip, Verdict
from tests.hostile.growth import MOST, assert_linear, ratio
from tests.services.cache import CHECKOUT
from tests.unit.evaluators.hog.test_examples import FILES, _definition, _generation

ROOMS = ("evaluators/hog", "evaluators/messages", "evaluators/generation.py")
PATTERNS: dict[str, str] = {
    "evaluators.hog.parser.lexer._TOKEN": "match",
    "evaluators.hog.parser.lexer._FRACTION": "match",
    "evaluators.hog.parser.lexer._POINT_FIRST": "match",
    "evaluators.hog.parser.lexer._NAME_CHARACTER": "match",
    "evaluators.hog.parser.lexer._TEMPLATE_TEXT": "match",
    "evaluators.hog.parser.lexer._ESCAPE": "sub",
    "evaluators.hog.parser.lexer._NAME_ESCAPE": "sub",
    "evaluators.hog.runtime.text_forms._PLAIN_NAME": "match",
    "evaluators.hog.runtime.date_text._DATE_LIKE": "match",
    "evaluators.hog.runtime.values._NUMERIC": "match",
    "evaluators.hog.runtime.values._INTEGER": "match",
    "evaluators.hog.stdlib.encoding._BROKEN_PERCENT": "search",
    "evaluators.hog.compiler.statements._UNSAFE_IN_NAME": "sub",
}
"""The patterns of the host in these rooms, with the method by which each is used."""

UNITS = (
    *("a", "1", "_", " ", "\n", "'", "''", "\\", "\\a", "\\\\", "`", "``", '"', '""', "/*", "*/", "*", "/", "//", "--"),
    *(".", "1.", ".1", "e", "1e", "1e+", "0x", "%", "%a", "%%", "{", "}", "-", ":", "2026-", "T", "(", "a ", "1 "),
)
HEADS = ("", "'", '"', "`", "/*", "1")
TAILS = ("", "\x00")


def _found_patterns() -> set[str]:
    """Return the names of all patterns that are compiled by the host's `re` in these rooms."""
    found = set()
    for room in ROOMS:
        path = CHECKOUT / room
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            module = ".".join(file.relative_to(CHECKOUT).with_suffix("").parts)
            tree = ast.parse(file.read_text("utf-8"))
            for node in ast.walk(tree):
                if not isinstance(node, ast.Attribute) or getattr(node.value, "id", "") != "re":
                    continue
                if node.attr == "compile":
                    continue
                assert node.attr in ("Match", "Pattern", "DOTALL", "VERBOSE", "ASCII", "finditer"), f"re.{node.attr}"
            for node in tree.body:
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                    function = node.value.func
                    if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "re":
                        found.add(f"{module}.{ast.unparse(node.targets[0])}")
            compiled = sum(isinstance(n, ast.Attribute) and ast.unparse(n) == "re.compile" for n in ast.walk(tree))
            assert compiled == sum(name.startswith(f"{module}.") for name in found), f"{module}: a pattern has no name"
    return found


def test_every_pattern_of_the_host_is_listed() -> None:
    assert _found_patterns() == set(PATTERNS)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_takes_linear_time_on_any_repetition(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    pattern: re.Pattern[str] = getattr(importlib.import_module(module), attribute)
    method = getattr(pattern, PATTERNS[name])
    run: Callable[[str], Any] = (lambda text: method("", text)) if PATTERNS[name] == "sub" else method
    for head, unit, tail in itertools.product(HEADS, UNITS, TAILS):
        assert_linear(run, lambda n, h=head, u=unit, t=tail: h + u * n + t, 1000, repr((head, unit, tail)))


TEXTS: dict[str, Callable[[int], str]] = {
    "words": lambda n: "word and " * n,
    "angle and blanks": lambda n: "<" + " " * (8 * n),
    "open thinking": lambda n: "<think>" * n,
    "closed thinking": lambda n: "<think>" + "</think" * n,
    "lone ends of thinking": lambda n: "a </think> B" * n,
    "thinking in turns": lambda n: "<think>a</think>b\n" * n,
    "thinking in lines": lambda n: "a\n<think>\n" * n,
    "names of thinking": lambda n: "<think>" + "".join(f"</think_{k}>a" for k in range(n)),
    "thinking in brackets": lambda n: "[THINK]" * n,
    "channels": lambda n: "<|channel|>analysis<|message|>" * n,
    "messages of channels": lambda n: "<|channel|>final" + "<|message|>" * n,
    "starts of messages": lambda n: "<|start|>" * n + "<|channel|>final<|message|>",
    "special tokens": lambda n: "<think>a</think>" + "<|end|>" * n,
    "backticks": lambda n: "<think>" + "".join("`" * (k % 40) + " " for k in range(n // 8)),
    "fences": lambda n: "<think>" + "```\n</think>\n" * n,
    "short runs": lambda n: ("Ab1" * 19 + " ") * (n // 8),
    "lines of runs": lambda n: ("Ab1" * 20 + "\n") * (n // 8),
    "one run": lambda n: "Ab1+" * n,
    "escaped slashes": lambda n: "\\/" * n,
    "numbers": lambda n: "1," * n,
    "numbers and blanks": lambda n: "1," * 70 + " " * (4 * n),
    "seven numbers": lambda n: ("1,1,1,1,1,1,1," + " " * 40 + "x") * (n // 8),
    "exponents": lambda n: "1e1e" * n,
    "keyed numbers": lambda n: '"1":1,' * n,
    "data": lambda n: "data:" * n,
    "data types": lambda n: "data:a/b;" * n,
    "data parameters": lambda n: "data:image/png" + ";a" * n,
    "brackets": lambda n: "[" * n,
    "closed brackets": lambda n: "[" * n + "]" * n,
    "objects": lambda n: '{"a":' * n + "1" + "}" * n,
    "quotes": lambda n: '"' * n,
    "json of messages": lambda n: json.dumps([{"role": "user", "content": "x"}] * n),
    "escaped bytes": lambda n: "\\x00ab" * n,
    "groups": lambda n: "aBlE able " * n,
    "groups of many lengths": lambda n: "aBlE aBlEaBlE aBlEx " * n,
    "words of one length": lambda n: "able " * n,
    "base85": lambda n: "a1B!" * n,
    "frames of base85": lambda n: "<~" * n + "~>",
    "bytes and blanks": lambda n: "1 2 255 " * n,
    "bytes and lines": lambda n: "1\n2\n255\n" * n,
    "half pairs": lambda n: "\ud800" * n,
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "run", [scrubbed, render_input, render_output, render_tools, read_tools], ids=lambda f: f.__name__
)
def test_a_text_is_rendered_in_linear_time(run: Callable[[str], Any], name: str) -> None:
    assert_linear(run, TEXTS[name], 1000)


def _nested(kind: str) -> Callable[[int], Any]:
    def make(depth: int) -> Any:
        value: Any = "x"
        for _ in range(depth):
            if kind == "list":
                value = [value]
            elif kind == "kwargs":
                value = {"lc": 1, "type": "constructor", "id": ["AIMessage"], "kwargs": value}
            elif kind == "data":
                value = {"type": "human", "data": value}
            elif kind in ("functionDeclarations", "content", "parts", "generations", "choices"):
                value = {kind: [value]}
            elif kind in ("tool_result", "tool_use", "thinking"):
                value = {"type": kind, "content": value, "input": value if kind == "tool_use" else None}
            else:
                value = {kind: value}
        return value

    return make


NESTED = (
    *("list", "kwargs", "data", "functionDeclarations", "content", "parts", "generations", "choices", "tool_result"),
    *(
        "thinking",
        "message",
        "delta",
        "output",
        "guardContent",
        "reasoningContent",
        "function",
        "functionResponse",
        "a",
    ),
)


@pytest.mark.parametrize("kind", NESTED)
def test_a_value_of_any_depth_is_rendered(kind: str) -> None:
    """Ten thousand levels of every key that the readers go down along."""
    value = _nested(kind)(10_000)
    for shown in (render_input(value), render_output([value]), render_output({"role": "assistant", "content": value})):
        assert isinstance(shown, str)
    assert isinstance(render_tools([value]), list)
    assert isinstance(read_tools({"tools": [value]}), list)
    reply = read_conversation([value], default_role="assistant")
    assert isinstance(reply.told() + reply.thinking(), str)
    assert isinstance(message_string(value), str)
    assert is_errored({"$ai_error": value})


@pytest.mark.parametrize(
    "make",
    [
        lambda n: [{"role": "user", "content": "x"}] * n,
        lambda n: [{"role": "assistant", "content": [{"type": "text", "text": "x"}] * n}],
        lambda n: [{"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "f", "input": {}}] * n}],
        lambda n: [{"role": "assistant", "content": "x", "tool_calls": [{"id": "i", "function": {"name": "f"}}] * n}],
        lambda n: [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "i", "content": "x"}] * n}],
        lambda n: [{"role": "assistant", "content": "x", "annotations": [{"url": f"u{i}"} for i in range(n)]}],
        lambda n: [[[[[[[[[[{"a": 1}] * n]]]]]]]]],
        lambda n: {"candidates": [{"content": {"parts": [{"text": "x", "thought": True}] * n}}]},
    ],
    ids=range(8),
)
def test_many_messages_and_blocks_are_rendered_in_linear_time(make: Callable[[int], Any]) -> None:
    assert_linear(render_output, make, 100)


SOURCES: dict[str, Callable[[int], str]] = {
    **{f"unit {unit!r}": (lambda n, u=unit: u * n) for unit in UNITS},
    "assignments in brackets": lambda n: "let a := 0 " + "a := a (a) := 0 " * n,
    "calls in brackets": lambda n: "let a := 0 " + "a (a) := 0 " * n,
    "objects": lambda n: "return [" + "{'a': 1}," * n + "]",
    "blocks": lambda n: "{ let a := 1 }" * n,
    "names": lambda n: 'let `a``b` := 1 return "' + "a\\n" * n + '"',
    "open comments": lambda n: "/* " * n,
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_compiled_in_linear_time(name: str) -> None:
    def run(text: str) -> None:
        with contextlib.suppress(HogCompileError):
            compile_program(text)

    assert_linear(run, SOURCES[name], 60)


def test_tokens_are_found_in_linear_time() -> None:
    for unit in ("a ", "'a' ", "f'{a}' ", "(a) ", "1.5 ", "/* a */ "):
        assert_linear(lambda text: tokenize(SourceText(text)), lambda n, u=unit: u * n, 100)


@pytest.mark.parametrize("run", [epoch_of_text, number_of], ids=lambda f: f.__name__)
def test_texts_that_may_be_dates_or_numbers_are_read_in_linear_time(run: Callable[[str], Any]) -> None:
    for unit in UNITS:
        for tail in TAILS:
            assert ratio(run, lambda n, u=unit, t=tail: (u * n)[: n - 1] + t, 250) < MOST


CALLS = (
    "sortableSemver(t)", "t =~ '(a|a)*b'", "extractRegex(t, '(x+x+)+y')", "t like '%a%b%c%'", "t ilike '%A_%B%'",
    "decodeURLComponent(t)", "tryBase64Decode(t)", "isValidJSON(t)", "toDateTime(t)", "toInt(t)", "position(t, 'ab')",
    "splitByString('aa', t)", "replaceAll(t, 'a', 'b')", "trim(t)", "jsonStringify(t)", "isIPAddressInRange(t, t)",
    "multiSearchAnyCaseInsensitive(t, ['x', 'y'])", "formatDateTime('2026-01-01', t)", "encodeURLComponent(t)",
)  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_the_library_takes_linear_time(call: str) -> None:
    program = compile_program(f"return {call}")

    def run(text: str) -> None:
        with contextlib.suppress(HogRuntimeError):
            program.run({"t": text})

    for unit in ("a", "1", "1.", "%", "%4", "[", "{", "x", "ab", "A=", "-", " "):
        assert_linear(run, lambda n, u=unit: u * n, 500)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_ready_evaluator_takes_linear_time(path: Path) -> None:
    source = _definition(path).draft.source
    assert source is not None
    evaluator = HogEvaluator(source, allows_na=True)

    def run(properties: dict[str, Any]) -> None:
        outcome = evaluator.evaluate(_generation(SimpleNamespace(properties=properties)), time_limit_s=60)
        assert isinstance(outcome, Verdict | Skip)

    for unit in ("word ", "[1]", "```\n", "Ж", "4111 1111 ", "a@b.cc ", "I'm sorry "):
        assert_linear(run, lambda n, u=unit: {"$ai_output": u * n, "$ai_input": u * n}, 60)
