"""The example generations are sent as of today, because pages, tests and estimates look at the last 7 days only."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.send import _lines
from examples.today import generations_of_today
from tests.services.cache import CHECKOUT

NOW = datetime(2031, 3, 30, 1, 30, tzinfo=UTC)


def sent(now: datetime) -> list[dict[str, Any]]:
    return [json.loads(line) for _, line in generations_of_today(now)]


@pytest.mark.parametrize("now", [NOW, NOW + timedelta(hours=13), datetime(2026, 2, 9, 14, 18, 1, 280_000, UTC)])
def test_the_newest_is_less_than_a_day_old_and_none_is_of_the_future(now: datetime) -> None:
    times = [datetime.fromisoformat(each["timestamp"]) for each in sent(now)]
    assert timedelta(0) <= now - max(times) < timedelta(days=1)
    assert now - min(times) < timedelta(days=2)


def test_sent_again_they_are_the_same_events_until_a_day_later() -> None:
    first, again, later = sent(NOW), sent(NOW + timedelta(minutes=1)), sent(NOW + timedelta(days=1, minutes=1))
    assert first == again
    ids = [{each["uuid"] for each in events} for events in (first, later)]
    assert [len(each) for each in ids] == [len(first), len(first)]
    assert not ids[0] & ids[1]


def test_nothing_but_time_and_id_differs_from_the_files() -> None:
    kept = [
        json.loads(line)
        for path in sorted((CHECKOUT / "examples" / "generations").glob("*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    moved = sent(NOW)
    times = [
        [datetime.fromisoformat(each["timestamp"]).replace(tzinfo=UTC) for each in events] for events in (kept, moved)
    ]
    assert len({after - before for before, after in zip(*times, strict=True)}) == 1, "all move by the same time"
    for events in (kept, moved):
        for each in events:
            del each["uuid"], each["timestamp"]
    assert kept == moved


def test_the_command_sends_all_of_them() -> None:
    places = [place for place, _ in _lines([], NOW)]
    assert len(places) == 831, "as the README says"
    assert places[0].endswith("anthropic.jsonl:1")
