"""The compiler leaves out checks of types that are certain, and a program does the same as with them."""

from __future__ import annotations

from typing import Any

import pytest

from evaluators.hog import HogFailure, compile_program

TEXT = "The cat and the dog\nand  THE bird "
READS = [
    "return [length(t), lower(t), trim(t), upper(t), position(t, 'cat'), startsWith(t, 'The'), t =~ 'd.g', t || '!']",
    "let n := 0 for (let word in splitByString(' ', t)) { n := n + length(word) } return n",
    "let o := {} for (let word in splitByString(' ', lower(t))) { o[word] := (o[word] ?? 0) + 1 } return o",
    "let w := splitByString(' ', t) for (let i := 1; i <= min2(length(w), 3); i := i + 1) { print(w[i + 1]) } return 1",
    "for (let i, word in splitByString(' ', t)) { print(i + 1, word || '!') } return null",
    "return [replaceAll(t, 'cat', 'do'), replaceAll(t, 'c', 'cc'), replaceAll(t, '', '-'), substring(t, 2, 3)]",
    "return t ?? 'nothing'",
    "return f'{t} and {length(t ?? 1)}'",
]


def outcome(source: str, table: dict[str, Any]) -> tuple[Any, ...]:
    """Return the value and the printed lines, or the message and line of the failure."""
    try:
        run = compile_program(source).run(table)
    except HogFailure as failure:
        return failure.message, failure.line
    return run.value, [line for line in run.prints if line]


@pytest.mark.parametrize("reading", ["e.output_text", "lower(e.output_text)", "trim(lower(e.output_text))"])
@pytest.mark.parametrize("source", READS)
@pytest.mark.parametrize("text", [TEXT, "", "é" * 300, None, 5, True, 1.5, [], ["a b"], {"a": "b"}])
def test_a_program_that_begins_with_a_text_of_the_event_does_the_same_for_other_values(
    text: Any, source: str, reading: str
) -> None:
    table = {"e": {"output_text": text}}
    program = f"let most := 2 let t := {reading} {source}"
    assert "h_generic" in compile_program(program).emitted()
    other = f"print('') {program}"  # nothing is taken to be a text after a statement of another kind
    assert "h_generic" not in compile_program(other).emitted()
    expected = outcome(other, table)
    assert outcome(program, table) == expected


def test_a_text_that_is_set_again_is_not_taken_to_be_one() -> None:
    source = "let t := e.output_text t := 5 return t + 1"
    assert "h_generic" not in compile_program(source).emitted()
    assert compile_program(source).run({"e": {"output_text": "a"}}).value == 6


def test_what_is_read_of_a_variable_of_the_program_is_not_taken_to_be_a_text() -> None:
    source = "let e := {'output_text': 1} let t := e.output_text return t + 1"
    assert compile_program(source).run({}).value == 2


@pytest.mark.parametrize(
    "change",
    ["words[1] := 5", "let other := words other[1] := 5", "let o := {'w': words} o.w[1] := 5"],
)
def test_an_element_that_is_set_is_no_longer_a_text(change: str) -> None:
    source = f"let words := splitByString(' ', output) {change} for (let w in words) {{ print(startsWith(w, 'b')) }}"
    assert compile_program(source).run({"output": "a b"}).prints == ["false", "true"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("let s := 0 for (let i, x in ['a', 'b', 'c']) { s := s + i } return s", 3),
        ("let s := '' for (let k, x in {'a': 1, 'b': 2}) { s := s || k } return s", "ab"),
        ("let s := '' for (let i, x in ['a', 'b']) { i := f'{i}!' s := s || i } return s", "0!1!"),
        ("let s := '' let l := ['a', 'b'] for (let i, x in l) { l[2] := 'c' s := s || x } return s", "ab"),
        ("let s := '' let l := ['a', 'b'] for (let i, x in l) { l := [] s := s || x || l[i + 1] } return s", "ab"),
    ],
)
def test_positions_of_an_array_and_keys_of_an_object(source: str, expected: Any) -> None:
    assert compile_program(source).run({}).value == expected


def test_a_variable_that_is_an_object_at_first_may_be_an_array_later() -> None:
    source = "let words := splitByString(' ', output) let o := {} o := words o[1] := 5 return words[1] + 1"
    assert compile_program(source).run({"output": "a b"}).value == 6


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("let i := 2", "b"),
        ("let i := 4 / 2", "b"),
        ("let i := 5 % 3", "b"),
        ("let i := -1", "c"),
        ("let i := 4611686018427387904 * 4", None),
        ("let i := min2(2, 1.5) * 2", "c"),
        ("let i := min2(2, 7)", "b"),
        ("let i := max2(2, 7)", None),
    ],
)
def test_an_element_is_read_by_whatever_number(index: str, expected: Any) -> None:
    assert compile_program(f"let l := ['a', 'b', 'c'] {index} return l[i]").run({}).value == expected
    assert compile_program(f"let l := split.s {index} return l[i]").run({"split": {"s": list("abc")}}).value == expected
