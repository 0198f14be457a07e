"""Statements need no `;` between them: where one ends is told by what follows."""

from __future__ import annotations

import pytest

from evaluators.hog import HogCompileError
from evaluators.hog.parser import syntax
from evaluators.hog.parser.statements import parse


def kinds(source: str) -> list[str]:
    return [type(statement).__name__ for statement in parse(source)[0].statements]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("let a := 0 (a) := 1", ["Let", "Assign"]),
        ("let a := b (c)", ["Let"]),
        ("let a := b (c) (d) := 1", ["Let", "Assign"]),
        ("a := b (c).d := 1", ["Assign", "Assign"]),
        ("a (b) := 1", ["Do", "Assign"]),
        ("throw a (b) := 1", ["Throw", "Assign"]),
        ("return a (b) := 1", ["Return", "Assign"]),
        ("fn a() {} fn b() {}", ["Fun", "Fun"]),
        ("fn (1)", ["Do"]),
    ],
)
def test_a_bracket_before_an_assignment_begins_a_statement(source: str, expected: list[str]) -> None:
    assert kinds(source) == expected


def test_the_value_before_such_a_bracket_is_the_whole_expression() -> None:
    let, assign = parse("let a := 1 + f(2) (b) := 3")[0].statements
    assert isinstance(let, syntax.Let)
    assert isinstance(let.value, syntax.Binary)
    assert isinstance(let.value.right, syntax.Call)
    assert isinstance(assign, syntax.Assign)
    assert isinstance(assign.target, syntax.Name)


@pytest.mark.parametrize("source", ["f(1) := 2", "1 := 2", "a + b := 2", "let a := := 1", "fn a { }"])
def test_what_cannot_be_assigned_to_is_refused(source: str) -> None:
    with pytest.raises(HogCompileError):
        parse(source)
