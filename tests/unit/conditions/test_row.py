"""Rows that are read, and rows that are refused without repeating the payload."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import pytest

from conditions import EventRow, RowError, Target, compile_matcher, decode_row, explain, parse_conditions


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not_json"),
        (b"secret", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"uuid": NaN}', "no_uuid"),
        (b"[" * 100_000, "not_json"),
        (b"[1]", "not_a_row"),
        (b"{}", "no_uuid"),
        (b'{"uuid": "", "team_id": 1}', "no_uuid"),
        (b'{"uuid": "a"}', "no_team_id"),
        (b'{"uuid": 5, "team_id": 1}', "not_a_row"),
        (b'{"uuid": "a", "team_id": "secret"}', "not_a_row"),
    ],
)
def test_refusals_have_a_reason_and_no_payload(value: bytes, reason: str) -> None:
    """The reason is a short label; the message may be logged."""
    with pytest.raises(RowError) as refusal:
        decode_row(value)
    assert refusal.value.reason == reason
    assert "secret" not in str(refusal.value)


def test_optional_fields_may_be_missing_or_null() -> None:
    """Null in any optional field reads as a field that is not there."""
    assert decode_row(b'{"uuid":"a","team_id":1}') == EventRow("a", 1)
    assert decode_row(b'{"uuid":"a","team_id":1,"distinct_id":null,"event":null,"project_id":null}') == EventRow("a", 1)


@pytest.mark.parametrize("properties", ["{", "[1]", "5", '"x"', [1], 5, True, "[" * 100_000])
def test_broken_properties_are_an_error_of_the_row(properties: object) -> None:
    """Whether or not a filter asks for a property."""
    for conditions in (None, [{"id": "s", "properties": [{"key": "a", "value": 1}]}]):
        with pytest.raises(RowError) as refusal:
            compile_matcher([Target("e", parse_conditions(conditions))]).match(EventRow("a", 1, properties=properties))
        assert refusal.value.reason == "bad_properties"


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('{"a":1,"a":2}', "a", 2),
        ('{"\\u0061":2}', "a", 2),
        ('{"__class__":2}', "__class__", 2),
        ('{"a.b":2,"a":{"b":3}}', "a.b", 2),
        ('{"qu\\"ote":2}', 'qu"ote', 2),
        ('{"":2}', "", 2),
        ('{"a":"\\ud800"}', "a", "\ud800"),
        ('{"a":1' + "0" * 400 + "}", "a", 10**400),
        ('{"a":2,"b":1e400}', "a", 2),
        ('{"a":2,"b":1' + "0" * 5000 + "}", "a", 2),
    ],
)
def test_odd_json_is_read_as_json_says(text: str, key: str, value: Any) -> None:
    """Repeated and escaped keys, awkward names, lone surrogates, numbers beyond a float."""
    conditions = parse_conditions([{"id": "s", "properties": [{"key": key, "value": value}]}])
    row = decode_row(json.dumps({"uuid": "a", "team_id": 1, "properties": text}).encode())
    assert compile_matcher([Target("e", conditions)]).match(row).matched == [(0, "s")]


def test_hundreds_of_keys_with_few_in_the_event() -> None:
    """Absent fields still count beyond the projection: a positive filter fails and a negative one holds."""
    targets = [
        Target(
            f"{n}{op}", parse_conditions([{"id": "s", "properties": [{"key": f"k{n}", "operator": op, "value": 1}]}])
        )
        for n in range(200)
        for op in ("exact", "is_not")
    ]
    result = compile_matcher(targets).match(EventRow("a", 1, properties='{"k7":1,"other":1}'))
    assert {targets[n].id for n, _ in result.matched} == {"7exact"} | {f"{n}is_not" for n in range(200) if n != 7}


@pytest.mark.parametrize("room", [300, 3000])
def test_no_depth_of_nesting_gets_past_the_matcher(room: int) -> None:
    """Also where a value can just be read and not be written as text, the row is refused like any broken one."""
    conditions = parse_conditions([{"id": "s", "properties": [{"key": "n", "operator": "icontains", "value": "x"}]}])
    target = Target("e", conditions)
    matcher = compile_matcher([target])
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(room)
    try:
        refused = 0
        for depth in range(room - 150, room + 10):
            row = EventRow("a", 1, properties='{"n":' + "[" * depth + "]" * depth + "}")
            for decide in (matcher.match, partial(explain, target)):
                try:
                    decide(row)
                except RowError as error:
                    assert error.reason == "bad_properties"
                    refused += 1
        assert 0 < refused < 2 * 160
    finally:
        sys.setrecursionlimit(before)
