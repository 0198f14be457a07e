"""Version 1 of the capture protocol: its headers, its options, and what each event is told."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import zstandard

from ingest.limits import MAX_DEPTH, MIB
from ingest.times import row_time
from tests.unit.ingest.front import NOW, TOKEN, UUID, Front, generation

SENT = "2026-11-28T12:00:00Z"
HEADERS = {
    "Authorization": f"Bearer {TOKEN}",
    "Content-Type": "application/json",
    "User-Agent": "test",
    "PostHog-Sdk-Info": "posthog/python/8.0.0",
    "PostHog-Attempt": "1",
    "PostHog-Request-Id": f"{UUID}0",
    "PostHog-Request-Timestamp": SENT,
}


def send(
    front: Front, *events: dict[str, Any], headers: dict[str, str] | None = None, **fields: Any
) -> httpx2.Response:
    body = json.dumps({"created_at": SENT, "batch": events, **fields})
    given = {name: value for name, value in {**HEADERS, **(headers or {})}.items() if value != ""}
    return front.call("POST", "/i/v1/ai/events", content=body, headers=given)


@pytest.mark.parametrize(
    ("name", "wrong", "status"),
    [
        ("Authorization", [None, "Basic abc", "Bearer", "Bearer  "], 401),
        ("Content-Type", [None, "text/plain"], 415),
        ("User-Agent", [None], 400),
        ("PostHog-Sdk-Info", [None, "posthog", "/8", "posthog/"], 400),
        ("PostHog-Attempt", [None, "0", "-1", "x", "1.5", "\u00b2"], 400),
        ("PostHog-Request-Id", [None, "1", "x" * 36], 400),
        ("PostHog-Request-Timestamp", [None, "yesterday", "2026-11-28T12:00:00", "1764331200"], 400),
    ],
)
def test_every_header_is_required(front: Front, name: str, wrong: list[str | None], status: int) -> None:
    for value in wrong:
        raw = [
            (key.encode(), text.encode("latin-1")) for key, text in {**HEADERS, name: value}.items() if text is not None
        ]
        scope = {"type": "http", "method": "POST", "path": "/i/v1/ai/events", "query_string": b"",
                 "headers": [(key.lower(), text) for key, text in raw]}  # fmt: skip
        answer = front.call_raw(scope, json.dumps({"created_at": SENT, "batch": [generation(1)]}).encode())
        assert answer.status_code == status, value
        body = answer.json()
        assert set(body) == {"error", "error_description", "error_uri"}
        assert name in body["error_description"] or status != 400
    assert front.messages() == []


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress)]
)
def test_three_encodings_are_read(front: Front, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    body = pack(json.dumps({"created_at": SENT, "batch": [generation(1)]}).encode())
    answer = front.call("POST", "/i/v1/ai/events", content=body, headers={**HEADERS, "Content-Encoding": encoding})
    assert answer.json() == {"results": {f"{UUID}1": {"result": "ok"}}}


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        (b"{", "parse_error"),
        (b"", "parse_error"),
        (b"[]", "invalid_body"),
        (b"{}", "empty_batch"),
        (b'{"batch": [], "created_at": "%b"}' % SENT.encode(), "empty_batch"),
        (b'{"batch": [{}]}', "invalid_created_at"),
        (b'{"batch": [{}], "created_at": "2026-11-28T12:00:00"}', "invalid_created_at"),
        (b'{"batch": [{}], "created_at": "%b"}' % SENT.encode(), "invalid_uuid"),
        (b'{"batch": [{"uuid": ""}], "created_at": "%b"}' % SENT.encode(), "invalid_uuid"),
        (b'{"batch": [{"uuid": "x"}], "created_at": "%b"}' % SENT.encode(), "invalid_uuid"),
    ],
)
def test_a_body_under_which_nothing_can_be_reported_is_refused(front: Front, body: bytes, tag: str) -> None:
    answer = front.call("POST", "/i/v1/ai/events", content=body, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]) == (400, tag)
    assert answer.json()["error_description"]


OPTIONS: dict[str, Any] = {
    "cookieless_mode": True, "disable_skew_correction": True, "product_tour_id": "tour",
    "process_person_profile": False,
}  # fmt: skip


def test_options_and_fields_become_properties(front: Front) -> None:
    event = generation(1, session_id="s", window_id="w", options=OPTIONS, properties={"$ai_trace_id": "t", "$lib": "x"})
    assert send(front, event).status_code == 200
    (row,) = front.rows()
    assert row["properties"] == {
        "$ai_trace_id": "t",
        "$session_id": "s",
        "$window_id": "w",
        "$cookieless_mode": True,
        "$ignore_sent_at": True,
        "$product_tour_id": "tour",
        "$process_person_profile": False,
        "$lib": "posthog/python",
        "$lib_version": "8.0.0",
    }
    assert row["person_mode"] == "propertyless"


@pytest.mark.parametrize(
    "options", [[], "x", {"cookieless_mode": 1}, {"product_tour_id": 5}, {"process_person_profile": ""}]
)
def test_options_of_another_type_drop_their_event(front: Front, options: Any) -> None:
    results = send(front, generation(1, options=options), generation(2, options=None)).json()["results"]
    assert results == {f"{UUID}1": {"result": "drop", "details": "invalid_options"}, f"{UUID}2": {"result": "ok"}}


@pytest.mark.parametrize(
    ("changes", "stored"),
    [
        ({}, row_time(NOW - timedelta(minutes=30))),
        ({"options": {"disable_skew_correction": True}}, "2016-11-28 11:30:00.000000"),
        ({"properties": {"$ignore_sent_at": True}}, "2016-11-28 11:30:00.000000"),
    ],
)
def test_the_clock_of_the_client_is_corrected(front: Front, changes: dict[str, Any], stored: str) -> None:
    event = generation(1, timestamp="2016-11-28T11:30:00Z", **changes)
    assert send(front, event, headers={"PostHog-Request-Timestamp": "2016-11-28T12:00:00Z"}).status_code == 200
    assert front.rows()[0]["timestamp"] == stored


@pytest.mark.parametrize(
    ("changes", "details"),
    [
        ({"event": "x" * 200}, None),
        ({"event": "x" * 201}, "event_name_too_long"),
        ({"event": None}, "missing_event_name"),
        ({"event": 5}, "missing_event_name"),
        ({"distinct_id": "d" * 200}, None),
        ({"distinct_id": "d" * 201}, "distinct_id_too_large"),
        ({"distinct_id": 5}, "missing_distinct_id"),
        ({"timestamp": None}, "invalid_event_timestamp"),
        ({"timestamp": "2026-11-01T10:00:00"}, "invalid_event_timestamp"),
        ({"timestamp": 1_793_534_400}, "invalid_event_timestamp"),
        ({"properties": None}, "malformed_event_properties"),
        ({"properties": {"$ai_input": json.loads("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))}}, None),
        ({"properties": {"$ai_input": json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)}}, "malformed_event_properties"),
        ({"properties": {"$ai_input": '"' * (8 * MIB)}}, "ai_event_too_big"),
    ],
)
def test_an_event_is_told_why_it_is_dropped(front: Front, changes: dict[str, Any], details: str | None) -> None:
    results = send(front, generation(1, **changes), generation(2)).json()["results"]
    if details is None:
        assert results[f"{UUID}1"]["result"] in ("ok", "warning")
    else:
        assert results[f"{UUID}1"] == {"result": "drop", "details": details}
    assert results[f"{UUID}2"] == {"result": "ok"}


def test_only_what_kafka_did_not_acknowledge_is_to_be_sent_again(front: Front) -> None:
    front.delivery.lost = {f"{UUID}2"}
    events = (generation(1), generation(2), generation(3, event="$pageview"))
    answer = send(front, *events)
    assert (answer.status_code, answer.headers["retry-after"]) == (200, "1")
    assert answer.json()["results"] == {
        f"{UUID}1": {"result": "ok"},
        f"{UUID}2": {"result": "retry", "details": "not_persisted"},
        f"{UUID}3": {"result": "warning", "details": "not_forwarded"},
    }
    front.delivery.lost.clear()
    again = send(front, generation(2), headers={"PostHog-Attempt": "2"})
    assert "retry-after" not in again.headers
    assert again.json()["results"] == {f"{UUID}2": {"result": "ok"}}


def test_a_uuid_in_another_spelling_is_reported_as_it_is_stored(front: Front) -> None:
    answer = send(front, generation(1, uuid=f"{UUID}a".upper()), generation(2, uuid=f"{{{UUID}a}}"))
    assert answer.json()["results"] == {f"{UUID}a": {"result": "ok"}}
    assert [row["distinct_id"] for row in front.rows()] == ["user 1"]


def test_history_is_marked_in_version_1_too(front: Front) -> None:
    send(front, generation(1), historical_migration=True)
    assert dict(front.messages()[0].headers or ())["historical_migration"] == b"true"


def test_an_unknown_token_is_refused(front: Front) -> None:
    answer = send(front, generation(1), headers={"Authorization": "Bearer gvt_unknown"})
    assert (answer.status_code, answer.json()["error"]) == (401, "authentication_failed")
