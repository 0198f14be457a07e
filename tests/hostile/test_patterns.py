"""Every pattern of Python's `re` in the product takes time that grows linearly with the text.

The patterns are found in the sources, so a new one is tested without anybody listing it. Each is fed with repetitions
of the characters that it names itself, by the methods that the product calls. A pattern that is put together at run
time cannot be found that way: it stands in `MADE_AT_RUN_TIME` with the reason why its text is not a stranger's.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import re._constants as opcodes
import re._parser as parser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.hostile.growth import FACTOR, MOST, PAUSES_S, ratio
from tests.services.cache import CHECKOUT

ROOMS = ("conditions", "evaluators", "quality", "config", "storage", "processor", "ingest", "reports", "api", "console")
METHODS = ("match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")
MADE_AT_RUN_TIME: dict[tuple[str, str], str] = {
    ("config/files.py", "compile"): "the scalars of YAML 1.2, each a pattern of ours with a bounded alternative",
    ("evaluators/llm_judge/prompt.py", "sub"): "the nonce that Gavel drew, escaped",
}
"""(file, function of `re`) → why the pattern is linear although it is put together at run time."""

SHORT = 1_000
"""The characters of the shorter text that a pattern is given."""


class Found(NamedTuple):
    """A pattern, where it stands, and the method that the product calls."""

    place: str
    pattern: re.Pattern[str] | re.Pattern[bytes]
    method: str


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for room in ROOMS:
        for path in sorted((CHECKOUT / room).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def is_of_re(node: ast.AST, names: tuple[str, ...]) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in names
    )


def methods_of(name: str, own: str, texts: list[str]) -> list[str]:
    """Return the methods of a compiled pattern that its module calls, or any if its name is public; `match` if none."""
    texts = [own] if name.startswith("_") else texts
    called = re.compile(rf"\b{re.escape(name)}\.({'|'.join(METHODS)})\b")
    found = {method for text in texts if name in text for method in called.findall(text)}
    return sorted(found) or ["match"]


def discover() -> tuple[list[Found], list[tuple[str, str]]]:
    """Return every pattern of the product, and (file, function) of those that are put together at run time."""
    trees = list(sources())
    texts = [path.read_text(encoding="utf-8") for path, _ in trees]
    found: list[Found] = []
    unknown: list[tuple[str, str]] = []
    for path, tree in trees:
        file = str(path.relative_to(CHECKOUT))
        named: set[int] = set()
        for node in tree.body:
            if isinstance(node, ast.Assign) and is_of_re(node.value, ("compile",)):
                named.add(id(node.value))
                module = importlib.import_module(".".join(path.relative_to(CHECKOUT).with_suffix("").parts))
                for target in node.targets:
                    assert isinstance(target, ast.Name)
                    pattern = getattr(module, target.id)
                    found += [
                        Found(f"{file}:{target.id}", pattern, m) for m in methods_of(target.id, path.read_text(), texts)
                    ]
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or not is_of_re(call, (*METHODS, "compile")) or id(call) in named:
                continue
            assert isinstance(call.func, ast.Attribute)
            try:
                source = literal(call.args[0], tree)
            except ValueError:
                unknown.append((file, call.func.attr))
                continue
            flags = sum(getattr(re, keyword.value.attr) for keyword in call.keywords if keyword.arg == "flags")
            method = "match" if call.func.attr == "compile" else call.func.attr
            found.append(Found(f"{file}:{call.lineno}", re.compile(source, flags), method))
    return found, unknown


def literal(node: ast.expr, tree: ast.Module) -> str | bytes:
    """Return a pattern that stands in the source, there or under a name of the module. ValueError if it does not."""
    if isinstance(node, ast.Name):
        named = {
            target.id: each.value
            for each in tree.body
            if isinstance(each, ast.Assign)
            for target in each.targets
            if isinstance(target, ast.Name)
        }
        node = named.get(node.id, node)
    found: str | bytes = ast.literal_eval(node)
    return found


FOUND, UNKNOWN = discover()


def characters(pattern: re.Pattern[str] | re.Pattern[bytes]) -> list[str]:
    """Return one character for each part of the pattern: each literal, and the first of each range and class."""
    named: dict[str, None] = {}

    def walk(node: object) -> None:
        if isinstance(node, tuple) and len(node) == 2 and node[0] in (opcodes.LITERAL, opcodes.NOT_LITERAL):
            named[chr(node[1])] = None
        elif isinstance(node, tuple) and len(node) == 2 and node[0] is opcodes.RANGE:
            named[chr(node[1][0])] = None
        elif isinstance(node, tuple) and len(node) == 2 and node[0] is opcodes.CATEGORY:
            named[{"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " "}.get(str(node[1]), "a")] = None
        elif isinstance(node, list | tuple | parser.SubPattern):
            for inner in node:
                walk(inner)

    walk(
        parser.parse(
            pattern.pattern, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags
        )
    )
    return [*itertools.islice((c for c in named if ord(c) < 0x80), 12), "\u2603"]


def used(found: Found, text: str) -> None:
    """Use the pattern as the product does, to the last match."""
    given: str | bytes = text.encode() if isinstance(found.pattern.pattern, bytes) else text
    arguments = [given] if found.method not in ("sub", "subn") else ["" if isinstance(given, str) else b"", given]
    result = getattr(found.pattern, found.method)(*arguments)
    if found.method == "finditer":
        for _ in result:
            pass


def growth(found: Found, pauses_s: Sequence[float] = PAUSES_S) -> tuple[float, str]:
    """Return the largest growth over all repetitions, and the repetition; the search ends at one that is too large."""
    letters = characters(found.pattern)
    worst, what = 0.0, ""
    repeated = [*letters, *(a + b for a, b in itertools.permutations(letters[:7], 2))]
    for seed in repeated:
        for head, tail in (("", "\x00"), (letters[0], "\x00"), ("", seed[:1])):
            times = ratio(
                lambda text: used(found, text),
                lambda size, h=head, s=seed, t=tail: h + s * (size // len(s)) + t,
                SHORT,
                pauses_s=pauses_s,
            )
            if times > worst:
                worst, what = times, f"{head!r} + {seed!r} × n + {tail!r}"
            if worst > MOST:
                return worst, what
    return worst, what


@pytest.mark.parametrize("found", FOUND, ids=lambda found: f"{found.place}-{found.method}")
def test_a_pattern_takes_linear_time(found: Found) -> None:
    worst, what = growth(found)
    assert worst <= MOST, f"{found.place} .{found.method}: {what} of {FACTOR} × the length takes {worst:.0f} × as long"


def test_a_pattern_that_is_made_at_run_time_is_known() -> None:
    assert set(UNKNOWN) == set(MADE_AT_RUN_TIME)


def test_the_measure_sees_a_quadratic_pattern() -> None:
    quadratic = Found("here", re.compile(r"<\s*/?\s*judged>"), "search")
    assert growth(quadratic, pauses_s=(0.0,))[0] > MOST
    linear = Found("here", re.compile(r"[a-z]+="), "match")
    assert growth(linear)[0] <= MOST
    assert len(FOUND) > 20
