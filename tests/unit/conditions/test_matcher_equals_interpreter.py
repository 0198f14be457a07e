"""The law of this room: the compiled matcher and the interpreter say the same of every event."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from conditions import ConditionError, EventRow, Matcher, Target, compile_matcher, parse_conditions
from conditions.interpreter import RowFields, first_error, interpret
from tests.unit.conditions.strategies import FIELD_VALUES, dump, expression, filters, rows, targets

Outcomes = tuple[list[tuple[int, str]], list[int], list[tuple[int, str]]]


def matched(matcher: Matcher, row: EventRow) -> Outcomes:
    result = matcher.match(row)
    sampled_out = list(result.sampled_out)
    assert len(result.sampled_out) == len(sampled_out)
    assert bool(result.sampled_out) is bool(sampled_out)
    return result.matched, sampled_out, result.errors


def interpreted(made: Sequence[Target], row: EventRow) -> Outcomes:
    expected: Outcomes = ([], [], [])
    for index, target in enumerate(made):
        decision = interpret(target, RowFields(row), compile_expression=expression)
        if decision.outcome == "matched":
            expected[0].append((index, decision.condition_id))
        elif decision.outcome == "sampled_out":
            expected[1].append(index)
        elif decision.outcome == "error":
            expected[2].append((index, first_error(decision)))
    return expected


@settings(max_examples=300, deadline=None)
@given(targets(), st.lists(rows(), min_size=1, max_size=4))
def test_filters_groups_rollouts_and_broken_parts(made: list[Target], events: list[EventRow]) -> None:
    """Whatever the definitions and the rows, all outcomes are equal, repeated values included."""
    matcher = compile_matcher(made, compile_expression=expression)
    for row in events + events + events:
        assert matched(matcher, row) == interpreted(made, row)


@settings(max_examples=200, deadline=None)
@given(targets(expressions=True, most=3), rows())
def test_expressions_that_hold_fail_and_raise(made: list[Target], row: EventRow) -> None:
    """An expression's error is reported exactly where the interpreter reports it."""
    assert matched(compile_matcher(made, compile_expression=expression), row) == interpreted(made, row)


@settings(max_examples=200, deadline=None)
@given(st.lists(filters(expressions=False), min_size=5, max_size=40), st.lists(FIELD_VALUES, min_size=1, max_size=8))
def test_many_single_filters_on_one_field(raw: list[dict[str, object]], values: list[object]) -> None:
    """Many filters share one field's indexes and none disturbs another; values come once and again."""
    made = []
    for index, item in enumerate(raw):
        node = {"key": "a", "operator": item.get("operator"), "value": item.get("value")}
        try:
            made.append(Target(str(index), parse_conditions([{"id": "s", "properties": [node]}])))
        except ConditionError:
            continue
    matcher = compile_matcher(made)
    for x in values * 5:
        row = EventRow("event-1", 1, properties=dump({"a": x}), timestamp="2024-02-01T00:00:00Z")
        assert matched(matcher, row) == interpreted(made, row)
