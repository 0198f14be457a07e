"""The checker refuses wrong programs before they run, and names the place."""

from __future__ import annotations

import pytest

from evaluators.hog import HogCompileError, compile_program


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ("properties.x := 1", 1, 1, "The global properties can not be changed"),
        ("let a := 1\nevaluation_events[a].x := 1", 2, 1, "The global evaluation_events can not be changed"),
        ("fun f() { event.x := 1 }", 1, 11, "write 'let copy := event'"),
        ("length.x := 1", 1, 1, "can not be changed"),
    ],
)
def test_a_global_is_not_assigned_into(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(HogCompileError) as caught:
        compile_program(source)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in str(caught.value)


def test_parameters_variables_and_results_of_calls_are_assigned_into() -> None:
    source = "fun f(o) { o.x := 1 return o } let a := {} f(a).y := 2 for (let e in [a]) { e.z := 3 } return a"
    assert compile_program(source).run({}).value == {"x": 1, "y": 2, "z": 3}


def test_a_lambda_knows_the_name_that_it_is_assigned_to_and_nothing_else_does() -> None:
    assert compile_program("let f := n -> n = 0 ? 'end' : f(n - 1) return f(3)").run({}).value == "end"
    with pytest.raises(HogCompileError, match="Unknown function g"):
        compile_program("let f := n -> g(n) let g := n -> n return f(1)")
    with pytest.raises(HogCompileError, match="already declared"):
        compile_program("let f := 1 let f := n -> f(n)")
