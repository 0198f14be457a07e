"""Messages that the matcher skips without decoding them."""

from __future__ import annotations

import json

import pytest

from tests.services.records import Record
from tests.unit.processor.matcher.matching import event_matcher, snapshot_of

ROW = json.dumps(
    {
        "uuid": "01890000-0000-7000-8000-000000000000",
        "event": "$ai_generation",
        "properties": "{}",
        "team_id": 1,
        "distinct_id": "d",
        "timestamp": "2026-03-01 10:00:00.000000",
    }
).encode()
LLMA: tuple[str, bytes] = ("productTrack", b"llma")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], None),
        ([LLMA], None),
        ([LLMA, ("event", b"$ai_generation")], None),
        ([("event", b"$ai_generation")], None),
        ([LLMA, ("event", b"$ai_span")], "other_event"),
        ([("event", b"$ai_span")], "other_event"),
        ([("productTrack", b"events"), ("event", b"$ai_generation")], "other_track"),
        ([LLMA, ("event", b"$ai_generation"), ("historical_migration", b"true")], "historical"),
        ([LLMA, ("event", b"$ai_generation"), ("historical_migration", b"false")], None),
    ],
)
def test_a_message_is_skipped_by_its_headers(headers: list[tuple[str, bytes]], reason: str | None) -> None:
    events = event_matcher(judge_historical=False)
    outputs = events.take([Record(ROW, head=list(headers))], snapshot_of({}), refuse=lambda *_: None)
    assert len(outputs) == (1 if reason is None else 0)
    assert {label for kind, label in events.counts if kind == "skipped"} == ({reason} if reason else set())


def test_a_message_of_another_kind_is_not_decoded() -> None:
    events = event_matcher()
    refused: list[object] = []
    messages = [Record(b"not JSON $ai_generation", head=[LLMA, ("event", b"$ai_span")])]
    assert events.take(messages, snapshot_of({}), refuse=lambda message, _: refused.append(message)) == []
    assert refused == []


def test_history_is_judged_where_a_setting_or_a_replay_asks_for_it() -> None:
    message = Record(ROW, head=[LLMA, ("event", b"$ai_generation"), ("historical_migration", b"true")])
    assert len(event_matcher().take([message], snapshot_of({}), refuse=lambda *_: None)) == 1
