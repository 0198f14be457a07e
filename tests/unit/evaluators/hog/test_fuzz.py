"""Whatever the source and the globals are, only Hog's own errors come out, and soon."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluators.hog import HogFailure, Limits, compile_program
from evaluators.hog.runtime.copies import to_json
from evaluators.hog.stdlib import FUNCTIONS

LIMITS = Limits(steps=50_000, time_s=1.0, memory_bytes=8 * 1024 * 1024)
CASES = json.loads((Path(__file__).parent / "data" / "operators.json").read_text())
WORDS = [
    *[
        "let",
        "fun",
        "return",
        "if",
        "else",
        "while",
        "for",
        "in",
        "throw",
        "try",
        "catch",
        "and",
        "or",
        "not",
        "like",
        "ilike",
        "is",
        "null",
        "between",
        "case",
        "when",
    ],
    *[
        "then",
        "end",
        "true",
        "false",
        "print",
        "output",
        "properties",
        "x",
        "y",
        "f",
        "e",
        "Error",
        "a.b",
        "a[1]",
        "a?.b",
        "(x)",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        ",",
        ";",
        ":",
        ":=",
    ],
    *[
        "=",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "||",
        "??",
        "?",
        "?.",
        "->",
        "=~",
        "!~",
        "=~*",
        "~",
        ".",
        ".5",
        "1",
        "0",
        "-1",
        "2.5",
        "1e3",
        "0x1F",
        "'a'",
        "'%a_'",
    ],
    *["'\\\\d+'", "f'{", "}'", "f'a{x}'", "`", "'", "/*", "//", "--", "#"],
    *sorted(FUNCTIONS),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def survive(source: str, table: dict[str, object]) -> None:
    try:
        value = compile_program(source).run(table, limits=LIMITS).value
        json.dumps(to_json(value))
    except HogFailure as failure:
        assert failure.kind != "internal", f"{source!r}: {failure.__cause__!r}"
        assert failure.line is None or 1 <= failure.line <= source.count("\n") + 1


SOME = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@SOME
@given(st.text(max_size=60))
def test_any_text(source: str) -> None:
    survive(source, {})


@SOME
@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join), json_values)
def test_any_soup_of_words(source: str, output: object) -> None:
    survive(source, {"output": output, "properties": {"a": output}, "x": output})


@SOME
@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(json_values, max_size=4))
def test_any_arguments_of_any_function(name: str, args: list[object]) -> None:
    names = [f"a{index}" for index in range(len(args))]
    survive(f"return {name}({', '.join(names)})", dict(zip(names, args, strict=True)))


@SOME
@given(st.sampled_from(CASES), st.integers(0, 60), st.text(max_size=3), st.integers(0, 3))
def test_any_damage_to_a_program(case: dict[str, str], at: int, inserted: str, removed: int) -> None:
    source = case["source"]
    survive(source[:at] + inserted + source[at + removed :], {})
