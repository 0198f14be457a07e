"""Properties that are decoded only as far as somebody asks are the properties."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conditions import EventRow, RowError, Target, compile_matcher, parse_conditions
from evaluators.generation import COPIED, JUDGE_MARK, USUAL
from processor.events.generation import (
    LazyProperties,
    clickhouse_time,
    copied,
    lazy_generation,
    parse_timestamp,
    to_generation,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*USUAL.values(), "$ai_model", "other"])
PROPERTIES = st.dictionaries(KEYS, VALUES, max_size=8)


def row_of(properties: Any) -> EventRow:
    return EventRow("u-1", 1, "$ai_generation", properties, timestamp="2026-03-01 10:00:00.000000")


def view_of(row: EventRow, *, filtered: str) -> Any:
    """The parts of a row that the matcher of an evaluation with a filter on one key has read."""
    conditions = parse_conditions(
        [
            {"id": "a", "rollout_percentage": 100, "properties": [{"key": filtered, "operator": "is_not_set"}]},
            {"id": "b", "rollout_percentage": 100, "properties": [{"key": filtered, "operator": "is_set"}]},
        ]
    )
    matcher = compile_matcher([Target(id="e", conditions=conditions)], carried=USUAL)
    return matcher.match(row).properties


@pytest.mark.parametrize("filtered", [None, "$ai_model", "$ai_trace_id", "$ai_output_choices", JUDGE_MARK])
@given(properties=PROPERTIES, as_text=st.booleans(), ascii_only=st.booleans())
def test_lazy_properties_are_the_properties(
    filtered: str | None, properties: dict[str, Any], as_text: bool, ascii_only: bool
) -> None:
    """With a view of the matcher's, which may name a usual key itself, and without."""
    row = row_of(json.dumps(properties, ensure_ascii=ascii_only) if as_text else properties)
    view = view_of(row, filtered=filtered) if filtered else None
    whole = to_generation(row)
    for key in (*USUAL.values(), "$ai_model", "missing"):
        lazy = lazy_generation(row, view)
        assert lazy.properties.get(key) == whole.properties.get(key)
        assert lazy.properties.get(key, 7) == whole.properties.get(key, 7)
        assert (key in lazy.properties) == (key in whole.properties)
    lazy = lazy_generation(row, view)
    assert (lazy.input, lazy.output) == (whole.input, whole.output)
    assert copied(lazy.properties) == copied(whole.properties)
    assert dict(lazy.properties) == dict(whole.properties)
    assert len(lazy.properties) == len(whole.properties)
    assert copied(lazy.properties) == {key: properties[key] for key in COPIED if properties.get(key) is not None}


@pytest.mark.parametrize(
    "text",
    [
        '{"$ai_output": "\\ud800", "$ai_trace_id": "\\udfff"}',
        '{"$ai_output": 1e999, "$ai_trace_id": -1e999, "x": 1e999}',
        '{"$ai_output": 123456789012345678901234567890}',
        '{"$ai_output": 1, "$ai_output": 2}',
    ],
    ids=["lone surrogates", "beyond floats", "beyond 64 bits", "a key twice"],
)
@pytest.mark.parametrize("filtered", [None, "$ai_model", "$ai_output"])
def test_what_the_fast_decoder_refuses_reads_the_same(text: str, filtered: str | None) -> None:
    row = row_of(text)
    view = view_of(row, filtered=filtered) if filtered else None
    whole = to_generation(row)
    lazy = lazy_generation(row, view)
    assert (lazy.output, copied(lazy.properties)) == (whole.output, copied(whole.properties))
    assert dict(lazy.properties) == dict(whole.properties)


@pytest.mark.parametrize(
    "text", ['{"a": tru}', '{"a": "\\x"}', '{"a": 1} x', "{bad", "[1]", '{"a": "\x01"}', '"text"', "1"]
)
def test_a_fault_that_nobody_asks_for_is_found_all_the_same(text: str) -> None:
    with pytest.raises(RowError):
        lazy_generation(row_of(text))
    with pytest.raises(RowError):
        LazyProperties(text)


def test_a_matcher_that_carries_nothing_gives_no_view() -> None:
    conditions = parse_conditions([{"id": "a", "rollout_percentage": 100, "properties": []}])
    row = row_of('{"$ai_output": "x"}')
    result = compile_matcher([Target(id="e", conditions=conditions)]).match(row)
    assert result.matched
    assert lazy_generation(row, result.properties).output == "x"


@pytest.mark.parametrize("empty", [None, "", {}])
def test_no_properties_are_none(empty: Any) -> None:
    assert dict(lazy_generation(row_of(empty)).properties) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01 10:00:00.123456", "2026-03-01 10:00:00.123456"),
        ("2026-03-01T10:00:00.000000", "2026-03-01 10:00:00.000000"),
        ("2026-03-01T10:00:00.123456+00:00", "2026-03-01 10:00:00.123456"),
        ("2026-03-01T10:00:00.123456+02:00", "2026-03-01 08:00:00.123456"),
        ("2026-03-01 10:00:00", "2026-03-01 10:00:00.000000"),
        ("2026-03-01T10:00:00.12Z", "2026-03-01 10:00:00.120000"),
        ("2026-W09-7T10:00:00.000000", "2026-03-01 10:00:00.000000"),
        ("2026-W09-7T10:00:00.000000+00:00", "2026-03-01 10:00:00.000000"),
        ("2026-03-01 10:00:00.123+03", "2026-03-01 07:00:00.123000"),
        ("2026-03-01 10:00:00.12345Z", "2026-03-01 10:00:00.123450"),
        ("2026-03-01T10:00:00,123456+00:00", "2026-03-01 10:00:00.123456"),
    ],
)
def test_a_time_is_written_as_clickhouse_takes_it(text: str, expected: str) -> None:
    assert clickhouse_time(text) == expected
    assert f"{parse_timestamp(text):%Y-%m-%d %H:%M:%S.%f}" == expected


@pytest.mark.parametrize("text", [None, "", "yesterday"])
def test_what_is_no_time_is_refused(text: str | None) -> None:
    with pytest.raises(RowError, match="timestamp"):
        clickhouse_time(text)
