from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from processor.sink.rows import ARCHIVE, RESULTS, BadRow, Passed
from tests.services.records import Record, generation_row, result_id, result_row

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


def _decoded(body: bytes, **more: Any) -> dict[str, Any]:
    return dict(zip(RESULTS.columns, RESULTS.decode(Record(body, **more)), strict=True))


def _archived(body: bytes, **more: Any) -> dict[str, Any]:
    return dict(zip(ARCHIVE.columns, ARCHIVE.decode(Record(body, **more)), strict=True))


def test_every_property_of_a_result_has_its_column() -> None:
    body = result_row(
        evaluation_result_type="numeric",
        evaluation_result=None,
        evaluation_numeric_result=7,
        evaluation_numeric_result_min=0,
        evaluation_numeric_result_max=10.5,
        evaluation_allows_na=True,
        evaluation_applicable=True,
        evaluation_cost_usd=0.0125,
        evaluation_latency=1.5,
        evaluation_key_type="own",
        evaluation_key_id="k1",
        evaluation_cached=False,
        evaluation_truncated=True,
        evaluation_confidence=0.875,
        evaluation_model="gpt-5-mini",
        evaluation_provider="openai",
        evaluation_backfill_id="b1",
        input_tokens=100,
        output_tokens=20,
        session_id="s1",
        **{"$session_id": "s2"},
    )
    row = _decoded(body, time_ms=1_780_000_000_123)
    assert row["uuid"] == result_id(0)
    assert row["numeric_result"] == 7.0
    assert (row["numeric_result_min"], row["numeric_result_max"]) == (0.0, 10.5)
    assert row["result"] is None
    assert row["applicable"] is True
    assert row["truncated"] is True
    assert (row["cost_usd"], row["latency_s"], row["confidence"]) == (0.0125, 1.5, 0.875)
    assert (row["ai_session_id"], row["session_id"]) == ("s1", "s2")
    assert row["start_time"] == row["timestamp"] == 1_795_168_800_123_456
    assert row["record_time"] == 1_780_000_000_123
    assert json.loads(row["properties"])["$ai_evaluation_key_id"] == "k1"


def test_a_skip_has_no_result_and_keeps_its_reason() -> None:
    row = _decoded(
        result_row(evaluation_result=None, evaluation_skipped=True, evaluation_skip_reason="unparsable_response")
    )
    assert (row["result"], row["skipped"], row["skip_reason"]) == (None, True, "unparsable_response")


def test_properties_may_be_an_object_and_keep_their_text() -> None:
    text = json.loads(result_row())["properties"]
    body = result_row(row={"properties": None}).replace(b'"properties": null', b'"properties": ' + text.encode())
    assert _decoded(body)["properties"] == text


@pytest.mark.parametrize("stamp", ["2026-11-20T10:00:00.123456Z", "2026-11-20T12:00:00.123456+02:00"])
def test_times_are_utc_whatever_their_form(stamp: str) -> None:
    assert _decoded(result_row(row={"timestamp": stamp}))["timestamp"] == 1_795_168_800_123_456


@pytest.mark.parametrize(
    ("stamp", "stored"),
    [
        ("0001-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00+14:00", 0),
        ("1969-12-31 23:59:59.999999", 0),
        ("2199-12-31 23:59:59.999999", 7_258_118_399_999_999),
        ("2200-01-01 00:00:00.000000", 7_258_118_399_999_999),
        ("9999-12-31T23:59:59.999999-14:00", 7_258_118_399_999_999),
    ],
)
def test_a_time_that_the_tables_cannot_hold_is_stored_as_the_nearest_one(stamp: str, stored: int) -> None:
    assert _decoded(result_row(row={"timestamp": stamp}))["timestamp"] == stored


@pytest.mark.parametrize(
    ("started", "microseconds"),
    [
        ("2026-11-20T10:00:00.123456+00:00", 1_795_168_800_123_456),
        ("2026-11-20T12:00:00.123456+02:00", 1_795_168_800_123_456),
        ("2026-11-20T10:00:00.123456+02:00", 1_795_161_600_123_456),
        ("2026-11-20T10:00:00.123457+00:00", 1_795_168_800_123_457),
        ("2026-11-21T10:00:00.123456+00:00", 1_795_255_200_123_456),
        ("2026-11-20T10:00:00Z", 1_795_168_800_000_000),
    ],
)
def test_a_run_may_begin_at_another_time_than_its_results(started: str, microseconds: int) -> None:
    row = _decoded(result_row(row={"timestamp": "2026-11-20 10:00:00.123456"}, evaluation_start_time=started))
    assert (row["timestamp"], row["start_time"]) == (1_795_168_800_123_456, microseconds)


def test_what_was_copied_from_a_generation_may_be_of_any_type() -> None:
    """Traces and prompt versions come from foreign events, where they are numbers, nulls or lone surrogates."""
    row = _decoded(result_row(prompt_version=4, trace_id=12.5, session_id={"a": 1}, prompt_name="\ud83d"))
    assert (row["prompt_version"], row["trace_id"], row["ai_session_id"]) == ("4", "12.5", '{"a": 1}')
    assert row["prompt_name"] == "?"
    body = result_row().replace(b'\\"$ai_trace_id\\": \\"trace-0\\"', b'\\"$ai_trace_id\\": null')
    assert b"null" in body
    assert _decoded(body)["trace_id"] == ""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"not json at all", "JSON"),
        (b"[1, 2]", "row"),
        (b"[" * 100_000, "row"),
        (result_row(row={"properties": "{"}), "properties is n"),
        (result_row(row={"properties": "[]"}), "properties holds a list"),
        (result_row(row={"properties": "[" * 100_000}), "properties is n"),
        (result_row(row={"properties": 3}), "properties"),
        (result_row(row={"team_id": "one"}), "team_id"),
        (result_row(row={"team_id": 2**63}), "team_id"),
        (result_row(row={"timestamp": "yesterday"}), "timestamp"),
        (result_row(row={"uuid": ""}), "uuid"),
        (result_row(evaluation_id=None), "$ai_evaluation_id"),
        (result_row(evaluation_result="yes"), "$ai_evaluation_result"),
        (result_row(input_tokens=2**70), "$ai_input_tokens"),
        (result_row(evaluation_categorical_result="a"), "$ai_evaluation_categorical_result"),
    ],
)
def test_a_malformed_result_is_refused_by_field_and_without_its_payload(body: bytes, says: str) -> None:
    with pytest.raises(BadRow) as error:
        RESULTS.decode(Record(body))
    assert says in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(None), "tombstone"),
        (Record(result_row(row={"event": "$ai_evaluation_report"})), "other_event"),
    ],
)
def test_what_is_no_result_is_passed_over(record: Record, reason: str) -> None:
    with pytest.raises(Passed) as passed:
        RESULTS.decode(record)
    assert passed.value.reason == reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(None), "tombstone"),
        (Record(generation_row(row={"event": "$pageview"}).replace(b"$ai_generation", b"")), "other_event"),
        (Record(b'{"event": "$pageview", "note": "$ai_generation"', head=[("productTrack", b"web")]), "other_track"),
        (Record(generation_row(row={"event": "$pageview", "elements_chain": "$ai_generation"})), "other_event"),
    ],
)
def test_the_archive_takes_generations_only(record: Record, reason: str) -> None:
    with pytest.raises(Passed) as passed:
        ARCHIVE.decode(record)
    assert passed.value.reason == reason


def test_an_archived_event_is_whole_and_foreign_types_leave_a_column_empty() -> None:
    body = generation_row(3, latency="fast", http_status="200", is_error="no", input_tokens=2**80, model=None)
    row = _archived(body, head=[("productTrack", b"llma")])
    sent = json.loads(body)
    for name in ("uuid", "event", "properties", "person_properties", "group0_properties", "distinct_id"):
        assert row[name] == sent[name]
    assert [row[n] for n in ("latency_s", "http_status", "is_error", "input_tokens", "model")] == [None] * 4 + [""]
    assert row["output_tokens"] == 3


def test_all_decoded_rows_are_what_the_engine_takes(client: Client) -> None:
    """Nulls, NUL bytes, emoji, empty texts and extreme numbers come back from the table as they were sent."""
    odd = "naïve 🦜 \x00 'quoted' \\ \t\n"
    bodies = [
        result_row(1, evaluation_reasoning=odd, input_tokens=2**63 - 1, evaluation_cost_usd=1e-12),
        result_row(
            2, evaluation_result=None, evaluation_result_type="categorical", evaluation_categorical_result=[odd, ""]
        ),
        result_row(3, row={"project_id": None, "person_mode": None, "distinct_id": ""}),
    ]
    rows = [RESULTS.decode(Record(body)) for body in bodies]
    client.raw_insert(
        RESULTS.table,
        column_names=RESULTS.columns,
        insert_block=RESULTS.encode(rows[:1]) + RESULTS.encode(rows[1:]),
        fmt="Native",
    )
    found = client.query(
        "SELECT reasoning, input_tokens, cost_usd, categorical_result, project_id, outcome "
        "FROM evaluation_results ORDER BY toUInt64(extract(trace_id, '[0-9]+'))"
    ).result_rows
    assert found[0] == (odd, 2**63 - 1, 1e-12, [], 1, "true")
    assert found[1][3:] == ([odd, ""], 1, "scored")
    assert found[2][4:] == (None, "true")


def test_texts_that_all_rows_share_are_whole_in_each(client: Client) -> None:
    shared, mixed = "ü" * 200, ["", "b", ""]
    rows = [
        RESULTS.decode(Record(result_row(n, evaluation_name=shared, evaluation_condition_id=text)))
        for n, text in enumerate(mixed)
    ]
    client.raw_insert(RESULTS.table, column_names=RESULTS.columns, insert_block=RESULTS.encode(rows), fmt="Native")
    found = client.query(
        "SELECT evaluation_name, condition_id, backfill_id FROM evaluation_results "
        "ORDER BY toUInt64(extract(trace_id, '[0-9]+'))"
    ).result_rows
    assert list(found) == [(shared, text, "") for text in mixed]
