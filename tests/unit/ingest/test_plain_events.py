"""The quick way of plain events gives the same event as the way that looks closely, or leaves the event to that one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import capture_v0
from ingest.door import Refused
from ingest.json_text import repair
from ingest.rows import Event, glance_at
from ingest.sent_events import PlainEvent, SentEvent, decode_request
from storage.sql.project_tokens import ProjectToken

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TOKEN = ProjectToken(1, 7, "", "", 0, 0, (), NOW)
UUID = "01890000-0000-7000-8000-000000000001"
DOOR: Any = SimpleNamespace(
    settings=SimpleNamespace(drop_properties=("$ip",)),
    glance=glance_at(("$ip",)),
    metrics=SimpleNamespace(count=lambda *_: None),
)
PLAIN: dict[str, Any] = {
    "event": "$ai_generation",
    "uuid": UUID,
    "distinct_id": "ann",
    "timestamp": "2026-11-01T10:00:00+02:00",
    "properties": {"$ai_trace_id": "t", "$ai_span_id": "s", "$ai_input": [{"role": "user", "content": "hi"}]},
}


def both(event: dict[str, Any], **around: Any) -> tuple[Event | Refused, Event | Refused, bool]:
    """Return the event by each way, and whether the quick one took it."""
    text = json.dumps({"api_key": "gvt_x", "batch": [event], **around}).encode()
    outer, (sent,) = decode_request(text)
    envelope = capture_v0.Envelope([sent], "gvt_x", capture_v0._sent_at(outer, SimpleNamespace(query={})), False)
    quick = isinstance(sent, PlainEvent) and capture_v0._plain(DOOR, sent, envelope, NOW) is not None
    close = msgspec.json.decode(repair(json.dumps(event).encode()), type=SentEvent)
    return (
        capture_v0._read(DOOR, envelope, TOKEN, NOW, sent),
        capture_v0._read(DOOR, envelope, TOKEN, NOW, close),
        quick,
    )


def as_data(event: Event | Refused) -> Any:
    if isinstance(event, Refused):
        return event.tag, event.detail, event.name, {k: v for k, v in json.loads(event.raw).items() if v is not None}
    return {**msgspec.to_builtins(event), "properties": json.loads(event.properties)}


@pytest.mark.parametrize("sent_at", [None, "2026-11-28T11:00:00Z"])
def test_a_plain_event_goes_the_quick_way(sent_at: str | None) -> None:
    event, close, quick = both(PLAIN, sent_at=sent_at)
    assert quick
    assert event == close
    assert isinstance(event, Event)
    assert event.properties == json.dumps(PLAIN["properties"]).encode(), "written over unchanged"


VARIANTS: dict[str, Any] = {
    "event": ["", " ", "\t x", "x" * 200, "x" * 201, 5, None, "\u0000", "\u2003"],
    "uuid": ["", None, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}", "no", 5, f" {UUID}"],
    "distinct_id": ["", " ", " x", "d" * 200, "d" * 201, 17, None, True, ["a"], "\u0000x"],
    "timestamp": ["", "soon", None, 1_793_534_400, "2030-01-01T00:00:00Z", "2026-11-01", "0001-01-01T00:00:00+23:00"],
    "offset": [0, 5000, -5, None, "x"],
    "$set": [{"plan": "pro"}, None, 5],
    "$set_once": [{"plan": "pro"}, None],
    "token": ["gvt_other", None],
    "api_key": [None, 5],
    "$token": ["a"],
    "$distinct_id": ["b", None],
    "type": ["capture"],
    "properties": [
        {}, None, [], "x", {"$ai_trace_id": ""}, {"$ai_trace_id": " a"}, {"$ai_trace_id": 17}, {"$ai_trace_id": None},
        {"$ai_trace_id": "t", "$ai_span_id": {}}, {"$ai_trace_id": "t", "$ip": "192.0.2.1"},
        {"$ai_trace_id": "t", "$ip": None}, {"$ai_trace_id": "t", "$ignore_sent_at": True},
        {"$ai_trace_id": "t", "$set": {"a": 1}}, {"$ai_trace_id": "t", "$set_once": {"a": 1}},
        {"$ai_trace_id": "t", "$process_person_profile": False}, {"$ai_trace_id": "t", "$ai_session_id": True},
        {"$ai_trace_id": "t", "a": json.loads("[" * 128 + "]" * 128)}, {"$ai_trace_id": "t", "distinct_id": "p"},
        {"$ai_trace_id": "t", "a": [{}] * 500},
    ],
}  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in VARIANTS.items() for value in values])
def test_every_variant_of_a_field_gives_the_same_event(field: str, value: Any) -> None:
    event, close, _ = both({**PLAIN, field: value}, sent_at="2026-11-28T11:00:00Z")
    assert as_data(event) == as_data(close)
    missing, close, _ = both({name: each for name, each in PLAIN.items() if name != field})
    if field == "timestamp" or field != "uuid":
        assert as_data(missing) == as_data(close)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4), lambda inner: st.lists(inner, max_size=2)
)


@given(
    fields=st.dictionaries(st.sampled_from(sorted(VARIANTS.keys() - {"properties", "uuid"})), VALUES, max_size=3),
    properties=st.dictionaries(
        st.sampled_from(["$ai_trace_id", "$ai_span_id", "$ai_session_id", "$ip", "$set", "$ignore_sent_at", "a"]),
        VALUES,
        max_size=4,
    ),
)
def test_any_event_is_the_same_by_both_ways(fields: dict[str, Any], properties: dict[str, Any]) -> None:
    event, close, _ = both({**PLAIN, "properties": {"$ai_trace_id": "t", **properties}, **fields})
    assert as_data(event) == as_data(close)
