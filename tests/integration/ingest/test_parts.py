"""`/i/v0/ai`: one event whose large properties are parts of their own."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.ingest.rig import UUID, IngestRig, generation

EVENT = {key: value for key, value in generation(1).items() if key != "properties"}


@pytest.fixture
def rig(shared: IngestRig) -> IngestRig:
    """Every test here looks only at its own answers and rows."""
    return shared


def body(rig: IngestRig, parts: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return a request of parts: (content, media type) by name; anything else is sent as JSON."""
    files = {
        name: (None, *value) if isinstance(value, tuple) else (None, json.dumps(value), "application/json")
        for name, value in parts.items()
    }
    made = rig.http.build_request("POST", "/i/v0/ai", files=files)
    return made.read(), {"Content-Type": made.headers["content-type"], "Authorization": f"Bearer {rig.token}"}


def send(rig: IngestRig, parts: dict[str, Any], **headers: str) -> Any:
    content, given = body(rig, parts)
    return rig.http.post("/i/v0/ai", content=content, headers=given | headers)


def test_the_parts_become_one_row(rig: IngestRig) -> None:
    answer = send(
        rig,
        {
            "event": EVENT,
            "event.properties": {"$ai_trace_id": 17, "$ai_model": "m", "$ip": "192.0.2.1"},
            "event.properties.$ai_input": [{"role": "user", "content": "hello"}],
            "event.properties.$ai_output_choices": ("hi ü\0", "text/plain; charset=utf-8"),
            "event.properties.image": (b"\xff\0", "application/octet-stream"),
            "something else": ("ignored", "text/plain"),
        },
    )
    assert (answer.status_code, answer.json()) == (200, {"status": "Ok"})
    (row,) = rig.rows()
    assert (row["uuid"], row["event"], row["distinct_id"]) == (f"{UUID}1", "$ai_generation", "user 1")
    assert row["properties"] == {
        "$ai_trace_id": "17",
        "$ai_model": "m",
        "$ai_input": [{"role": "user", "content": "hello"}],
        "$ai_output_choices": "hi ü\ufffd",
        "image": base64.b64encode(b"\xff\0").decode(),
    }
    assert rig.count("gavel_ingest_events_total", outcome="accepted") == 1


def test_properties_may_stand_in_the_event_and_the_body_may_be_packed(rig: IngestRig) -> None:
    content, headers = body(rig, {"event": {**EVENT, "uuid": f"{UUID}2", "properties": {"a": 1}}})
    answer = rig.http.post("/i/v0/ai/", content=gzip.compress(content), headers=headers | {"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    assert rig.rows()[-1]["properties"] == {"a": 1}


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ({"event.properties": {}}, 400, "missing_part"),
        ({"event": [1]}, 400, "bad_shape"),
        ({"event": ("{", "application/json")}, 400, "parse_error"),
        ({"event": {**EVENT, "x": "x" * 33_000}}, 413, "event_too_large"),
        ({"event": {**EVENT, "properties": {}}, "event.properties": {}}, 400, "duplicate_part"),
        ({"event": EVENT, "event.properties": [1]}, 400, "malformed_event_properties"),
        ({"event": EVENT, "event.properties": {"a": 1}, "event.properties.a": 2}, 400, "duplicate_property"),
        ({"event": EVENT, "event.properties.a": ("{", "application/json")}, 400, "parse_error"),
        ({"event": EVENT, "event.properties.a": (b"\xff", "text/plain")}, 400, "parse_error"),
        ({"event": EVENT, "event.properties.a": ("[" * 200 + "]" * 200, "application/json")}, 400, None),
        ({"event": EVENT, "event.properties.a": ("[" * 9999 + "]" * 9999, "application/json")}, 400, None),
        ({"event": {**EVENT, "distinct_id": " "}}, 400, "missing_distinct_id"),
        (
            {"event": {**EVENT, "uuid": f"{UUID}4"}, "event.properties.a": (b'"' * 9_000_000, "text/plain")},
            413,
            "event_too_large",
        ),
    ],
)
def test_what_is_wrong_is_said(rig: IngestRig, parts: dict[str, Any], status: int, code: str | None) -> None:
    answer = send(rig, parts)
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code or code is None
    assert rig.server.door.budget.reserved == 0


def test_a_part_that_comes_twice_is_refused(rig: IngestRig) -> None:
    content, headers = body(rig, {"event": EVENT})
    boundary = headers["Content-Type"].partition("boundary=")[2].encode()
    twice = content.replace(b"--" + boundary + b"--", b"") + content
    answer = rig.http.post("/i/v0/ai", content=twice, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "duplicate_part")


def test_a_token_and_the_media_type_are_required(rig: IngestRig) -> None:
    assert send(rig, {"event": EVENT}, Authorization="").status_code == 401
    assert send(rig, {"event": EVENT}, Authorization="Bearer gvt_unknown").status_code == 401
    assert send(rig, {"event": EVENT}, **{"Content-Type": "application/json"}).status_code == 415
    assert rig.http.get("/i/v0/ai").status_code == 405


def test_lone_surrogates_and_nan_cost_nothing(rig: IngestRig, tmp_path: Path) -> None:
    answer = send(
        rig,
        {
            "event": {**EVENT, "uuid": f"{UUID}3"},
            "event.properties.a": ('["\\ud800", NaN, "\\u0000"]', "application/json"),
        },
    )
    assert answer.status_code == 200
    assert rig.rows()[-1]["properties"]["a"] == ["\ufffd", None, "\ufffd"]
