"""The row of an event: its properties are quoted byte for byte, its size is bounded, and so is its key."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime

import pytest

from ingest.limits import MAX_TRACE_ID_CHARS
from ingest.rows import Event, InvalidEvent, Properties, make_message
from processor.events.row import MAX_EVENT_BYTES

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def event(properties: bytes, trace_id: str | None = None, person: bytes | None = None) -> Event:
    return Event("0190a0a0-0000-7000-8000-000000000001", "$ai_generation", "d", NOW, properties, trace_id, person)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "x"}',
        '{"a": "\\" \\\\ \\n \\u0001 \\/ é 😀 \x7f"}',
        '{\n\t"a" :\r\n [1,\t2] }',
        '{"\\"": {"\\\\": "\\\\\\""}}',
    ],
)
def test_properties_are_the_text_that_came(text: str) -> None:
    row = json.loads(make_message("t", event(text.encode(), person=text.encode()), 7, "now").value or b"")
    assert row["properties"] == row["person_properties"] == text


def test_an_event_that_is_too_large_is_refused_before_its_row_is_made() -> None:
    large = json.dumps({"a": "x" * MAX_EVENT_BYTES}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidEvent, match="row of 83886"):
            make_message("t", event(large), 7, "now")
        with pytest.raises(InvalidEvent, match="row of 83886"):
            Properties(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_quoting_that_passes_the_limit_leaves_an_object() -> None:
    text = json.dumps({"a": '"' * 3_000_000})
    value = make_message("t", event(text.encode()), 7, "now").value or b""
    assert json.loads(value)["properties"] == json.loads(text)
    assert len(value) <= MAX_EVENT_BYTES


def test_a_long_id_of_a_trace_is_hashed_in_the_key() -> None:
    short, long = "x" * MAX_TRACE_ID_CHARS, "x" * 3_000_000
    assert make_message("t", event(b"{}", short), 7, "now").key == b"7:" + short.encode()
    key = make_message("t", event(b"{}", long), 7, "now").key
    assert len(key or b"") == 2 + 36
    assert key == make_message("t", event(b'{"b": 1}', long), 7, "now").key
    assert key != make_message("t", event(b"{}", long + "y"), 7, "now").key
