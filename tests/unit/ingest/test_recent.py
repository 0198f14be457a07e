"""Delivered events are remembered for ten minutes, and not more of them than the memory is for."""

from __future__ import annotations

import pytest

from ingest import recent
from ingest.recent import RecentEvents


def test_what_was_acknowledged_is_known_for_ten_minutes() -> None:
    now = [1000.0]
    events = RecentEvents(lambda: now[0])
    events.remember(1, ["a"])
    now[0] += 599
    assert ("a" in events.of_team(1), "a" in events.of_team(2), "b" in events.of_team(1)) == (True, False, False)
    now[0] += 2
    assert "a" not in events.of_team(1)


def test_the_oldest_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_REMEMBERED", 3)
    events = RecentEvents()
    events.remember(1, ["a"])
    events.remember(2, ["b", "c"])
    events.remember(1, [])
    assert "a" in events.of_team(1)
    events.remember(1, ["d"])
    assert [set(events.of_team(team)) for team in (1, 2)] == [{"d"}, {"b", "c"}]
    events.clear()
    assert not events.of_team(1)
    events.remember(1, ["d"])
    assert set(events.of_team(1)) == {"d"}
