"""Tests of one text for several patterns become one pass, and answer as each by itself does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.hog import HogRuntimeError, compile_program
from evaluators.hog.runtime.regex import compiled
from evaluators.hog.runtime.scan import MOST_INSTRUCTIONS, Sought, scan_for
from tests.unit.evaluators.hog.stdlib.calls import context

TESTS = (
    "=~ '\\\\d{2}-'",
    "=~* 'ABC'",
    "like '%password%'",
    "ilike 'AN%'",
    "not like '%nothing%'",
    "!~ '^$'",
    "!~* 'zz'",
)
TEXTS = ("", "an abc", "password 12-34", "😀 AN ABC\nzz", "\udc00abc", "a" * 5000 + "12-")


def source(subject: str, tests: tuple[str, ...]) -> str:
    """Return a program that says which tests hold."""
    body = "".join(f"if ({subject} {test}) {{ r := r || '{number},' }}\n" for number, test in enumerate(tests))
    return f"let r := '' let t := g {body} return r"


def alone(subject: str, text: Any) -> str:
    """Return what the tests say, each in a program of its own."""
    answers = []
    for number, test in enumerate(TESTS):
        program = compile_program(f"let t := g return {subject} {test}")
        answers.append(f"{number}," if program.run({"g": text, "output": text}).value else "")
    return "".join(answers)


@pytest.mark.parametrize("subject", ["output", "t"])
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_one_pass_answers_as_each_test_alone(subject: str, text: str) -> None:
    program = compile_program(source(subject, TESTS))
    assert "m_1 = " in program.emitted()
    assert program.run({"g": text, "output": text}).value == alone(subject, text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abAN12- pswordz\n😀ſK", max_size=40))
def test_one_pass_answers_as_each_test_alone_on_any_text(text: str) -> None:
    assert compile_program(source("output", TESTS)).run({"g": "", "output": text}).value == alone("output", text)


def test_a_value_that_is_not_a_text_fails_where_it_always_failed() -> None:
    program = compile_program("if (g.x) { return 1 }\n\n" + source("t", ("like '%a%'", "like '%b%'", "=~ 'c'")))
    with pytest.raises(HogRuntimeError) as caught:
        program.run({"g": {"x": False}})
    assert (caught.value.kind, caught.value.line) == ("type_error", 3)


def test_null_is_no_text() -> None:
    tests = ("=~ 'a'", "=~ 'b'", "!~ 'c'", "=~* 'd'")
    assert compile_program(source("t", tests)).run({"g": None}).value == ""


def test_a_pattern_that_is_not_valid_is_reported_by_the_run() -> None:
    program = compile_program(source("output", ("=~ 'a'", "=~ '['", "=~ 'b'", "=~ 'c'")))
    assert "m_1" not in program.emitted()
    with pytest.raises(HogRuntimeError) as caught:
        program.run({"g": "", "output": "abc"})
    assert caught.value.kind == "bad_regex"


def test_a_variable_that_changes_is_searched_anew() -> None:
    text = "let t := g if (t =~ 'a') { t := 'b' } if (t =~ 'b') { t := 'c' } if (t =~ 'c') { return 'c' } return t"
    assert compile_program(text).run({"g": "a"}).value == "c"


def test_large_patterns_are_searched_one_by_one() -> None:
    """An automaton that does not fit into its memory would find nothing, and nobody would know."""
    large = "(?:[ab]{100}c|x[ab]{100}d)"
    assert compiled(large, False, False).ProgramSize() * 10 > MOST_INSTRUCTIONS
    assert scan_for([Sought(large)] * 10) is None


def test_a_pass_of_the_largest_size_finds_what_is_there() -> None:
    each = "(?:[ab]*a[ab]{{20}}c{0}|\\b[ab]{{20}}d{0})"
    sought = []
    while scan_for([*sought, Sought(each.format(len(sought)))]) is not None:
        sought.append(Sought(each.format(len(sought))))
    scan = scan_for(sought)
    assert scan is not None
    assert len(sought) > 10
    text = ("ab" * 5 + "ba" * 7 + "aab") * 400
    assert scan(context(), text) == []
    assert scan(context(), text + "a" * 21 + "c3") == [3]
