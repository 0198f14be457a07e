"""Filters of type `hogql`: the result that an expression must give, and the globals that it sees."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from conditions import EventRow, Target, compile_matcher, parse_conditions
from conditions.interpreter import RowFields, interpret

ROW = EventRow(
    "event-1", 1, event="e", distinct_id="d", properties={"a": 1}, person_id="p", person_properties='{"b":2}'
)


@pytest.mark.parametrize(
    ("given", "outcome"),
    [(True, "matched"), *((given, "filtered") for given in (False, None, 1, 1.0, "true", [True], {"a": True}))],
)
def test_it_holds_exactly_when_it_gives_true(given: object, outcome: str) -> None:
    """Nothing else that a language may take for true counts, in the interpreter and in the matcher."""
    conditions = parse_conditions(
        [{"id": "s", "properties": [{"type": "hogql", "key": "x"}]}], compile_expression=lambda _: lambda _: given
    )
    target = Target("e", conditions)
    found = interpret(target, RowFields(ROW), compile_expression=lambda _: lambda _: given)
    assert found.outcome == outcome
    result = compile_matcher([target], compile_expression=lambda _: lambda _: given).match(ROW)
    assert bool(result.matched) is (outcome == "matched")
    assert not result.errors


def test_it_sees_properties_person_event_and_distinct_id() -> None:
    """Decoded, and nothing more."""
    seen: list[Mapping[str, object]] = []

    def compile_expression(_: str):
        return lambda world: seen.append(world) or True

    conditions = parse_conditions(
        [{"id": "s", "properties": [{"type": "hogql", "key": "x"}]}], compile_expression=compile_expression
    )
    assert compile_matcher([Target("e", conditions)], compile_expression=compile_expression).match(ROW).matched
    person = {"id": "p", "properties": {"b": 2}}
    assert seen == [{"properties": {"a": 1}, "person": person, "event": "e", "distinct_id": "d"}]


def test_an_error_is_that_of_the_set_that_decides() -> None:
    """Not of a set that fails before it, of one that the rollout leaves out, or of one after it."""

    def compile_expression(source: str):
        def run(_: object) -> object:
            if source == "false":
                return False
            raise ZeroDivisionError(source)

        return run

    def one(identity: str, source: str, rollout: float = 100) -> dict[str, object]:
        return {"id": identity, "rollout_percentage": rollout, "properties": [{"type": "hogql", "key": source}]}

    raw = [one("a", "false"), one("b", "left out", 0), one("c", "this"), one("d", "later")]
    target = Target("e", parse_conditions(raw, compile_expression=compile_expression))
    result = compile_matcher([target], compile_expression=compile_expression).match(ROW)
    assert result.errors == [(0, "ZeroDivisionError: this")]
