"""Conditions that are accepted, and the messages for those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from conditions import ConditionError, parse_conditions


def one(**node: Any) -> list[dict[str, Any]]:
    return [{"id": "fine"}, {"id": "bad", "properties": [{"key": "k", **node}]}]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            one(operator="between", value=["9", "1"]),
            'operator "between" needs [low, high] with low ≤ high, got ["9", "1"]',
        ),
        (one(operator="between", value=[1]), "needs [low, high]"),
        (one(operator="not_between", value=5), "needs [low, high]"),
        (one(operator="between", value=[1, "x"]), "needs [low, high]"),
        (one(operator="exact"), 'operator "exact" needs a value'),
        (one(operator="in", value=[]), "empty list"),
        (one(operator="regex", value="(?=a)"), "RE2 refuses"),
        (one(operator="regex", value="("), "RE2 refuses"),
        (one(operator="regex", value=["a", "\ud800"]), "surrogate"),
        (one(operator="is_date_before", value="soon"), "needs a date"),
        (one(operator="is_date_after", value="7d"), "needs a date"),
        (one(operator="semver_eq", value="x"), "needs a version"),
        (one(operator="semver_caret", value="^1"), "needs a version"),
        (one(operator="semver_wildcard", value="1.2.3"), "needs a pattern"),
        (one(type="cohort", value=1), "cohort membership is not in the event"),
        (one(type="session", value=1), "session properties"),
        (one(type="element", value=1), "generations have no elements"),
        (one(type="recording", value=1), "unknown"),
        (one(type="group", value=1), "needs group_type_index"),
        (one(type="hogql"), "needs the Hog compiler"),
        (one(type="event_metadata", value=1), "no metadata field"),
        (one(group_type_index=1, value=1), "belongs to type group"),
    ],
)
def test_a_refusal_names_set_filter_and_remedy(raw: object, message: str) -> None:
    """The path leads to the second set's first filter, and the message says what is wrong."""
    with pytest.raises(ConditionError) as refusal:
        parse_conditions(raw)
    assert refusal.value.path.startswith("conditions[1].properties[0]")
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({}, "conditions"),
        ("x", "conditions"),
        ([5], "conditions[0]"),
        ([{"id": "x" * 101}], "conditions[0].id"),
        ([{}], "conditions[0].id"),
        ([{"id": "a", "rollout_percentage": 100.01}], "conditions[0].rollout_percentage"),
        ([{"id": "a", "rollout_percentage": -1}], "conditions[0].rollout_percentage"),
        ([{"id": "a", "rollout_percentage": float("nan")}], "conditions[0].rollout_percentage"),
        ([{"id": "a", "rollout_percentage": "50"}], "conditions[0].rollout_percentage"),
        ([{"id": "a", "rollout_percentage": True}], "conditions[0].rollout_percentage"),
        ([{"id": "a", "extra": 1}], "conditions[0].extra"),
        (one(operator="like", value=1), "conditions[1].properties[0].operator"),
        (one(type="group", group_type_index=5, value=1), "conditions[1].properties[0].group_type_index"),
        ([{"id": "a", "properties": [{"type": "XOR", "values": []}]}], "conditions[0].properties[0].type"),
        ([{"id": "a", "properties": [{"type": "OR"}]}], "conditions[0].properties[0].values"),
        (
            [{"id": "a", "properties": [{"type": "OR", "values": [{"type": "AND", "values": [{"value": 1}]}]}]}],
            "conditions[0].properties[0].values[0].values[0].key",
        ),
    ],
)
def test_a_refusal_says_where(raw: object, path: str) -> None:
    """Every level is named, down to the field."""
    with pytest.raises(ConditionError) as refusal:
        parse_conditions(raw)
    assert refusal.value.path == path


def test_conditions_that_are_left_out_mean_every_event() -> None:
    """None is one set without filters at 100 %; an empty list stays empty."""
    (everything,) = parse_conditions(None)
    assert everything.rollout_percentage == 100
    assert everything.properties == ()
    assert parse_conditions([]) == ()


def test_groups_nested_without_end_are_refused() -> None:
    """A definition cannot exhaust the stack."""
    node: dict[str, Any] = {"key": "k", "value": 1}
    for _ in range(5000):
        node = {"type": "AND", "values": [node]}
    with pytest.raises(ConditionError, match="nested deeper than 20"):
        parse_conditions([{"id": "a", "properties": [node]}])
