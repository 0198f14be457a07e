"""Heartbeats as operators see them: structured, and safe against those that another release wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from api.services.operations import OpenBreaker, TopicLag, process_of
from storage.sql.heartbeats import Heartbeat, Vitals

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def beat(**details: Any) -> Heartbeat:
    return Heartbeat("judge", "host:1", "1.0", NOW - timedelta(hours=1), NOW, 10.0, Vitals("running", details=details))


def test_details_become_rows() -> None:
    told = {"key": "Main", "model": "m", "cause": "auth", "detail": "401", "next_probe_in_s": 45}
    found = process_of(
        beat(
            lag={"tasks": 7, "parked": 1},
            lag_s={"tasks": 95.0},
            paused={"tasks": [1, 4]},
            parked={"records": 3, "oldest_s": 60.0},
            breakers=[told],
            breakers_open=2,
        )
    )
    assert found.lag == (TopicLag("tasks", 7, 95.0), TopicLag("parked", 1, None))
    assert found.paused == (("tasks", (1, 4)),)
    assert (found.parked, found.parked_s, found.open_breakers) == (3, 60.0, 2)
    assert found.breakers == (OpenBreaker("host:1", "Main", "m", "auth", "401", 35.0),), "the heartbeat is 10 s old"


def test_details_in_another_form_are_left_out() -> None:
    found = process_of(beat(lag=[1], lag_s="x", paused=3, parked=None, breakers=["x", {"next_probe_in_s": "soon"}]))
    assert (found.lag, found.paused, found.parked, found.parked_s) == ((), (), 0, 0.0)
    assert found.breakers == (OpenBreaker("host:1", "", "", "", "", 0.0),) * 2
