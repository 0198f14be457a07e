"""A role's heartbeat says how far it is behind, what is paused, what waits on purpose, and which breakers are open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from processor.metrics import AgeGauge, Metrics
from processor.runtime.logs import RecentProblems
from processor.runtime.vitals import stage_vitals

STAGE: Any = SimpleNamespace(sources=(), paused=(), records_in_flight=0, subscribed=True, waits_for_partitions=False)


def details(role: str, metrics: Metrics, told: dict[str, Any] | None = None, **stage: Any) -> dict[str, Any]:
    looked_at = cast("Any", SimpleNamespace(**vars(STAGE) | stage, role=role))
    snapshots = cast("Any", SimpleNamespace(current=None, last_error=None))
    return stage_vitals(looked_at, snapshots, metrics, RecentProblems(), told or {}).details


def test_the_judge_tells_its_parked_runs_and_the_age_of_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgeGauge, "clock", lambda: 1000.0)
    metrics = Metrics(CollectorRegistry())
    assert details("judge", metrics)["parked"] == {"records": 0, "oldest_s": 0.0}
    for partition, records, since_s in (("0", 3, 900.0), ("1", 2, 400.0), ("2", 0, 0.0)):
        metrics.set("gavel_parked_records", records, topic="parked", partition=partition)
        metrics.since("gavel_parked_oldest_seconds", since_s, topic="parked", partition=partition)
    assert details("judge", metrics)["parked"] == {"records": 5, "oldest_s": 600.0}
    assert "parked" not in details("sink", metrics)


def test_the_lag_is_in_records_and_in_seconds_and_paused_partitions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgeGauge, "clock", lambda: 1000.0)
    metrics = Metrics(CollectorRegistry())
    for role, partition, records, since_s in (("sink", "0", 3, 990.0), ("sink", "1", 4, 905.0), ("judge", "0", 9, 1.0)):
        metrics.set("gavel_consumer_lag", records, role=role, topic="results", partition=partition)
        metrics.since("gavel_lag_seconds", since_s, role=role, topic="results", partition=partition)
    found = details("sink", metrics, paused=(("results", 1), ("other", 4), ("results", 0)))
    assert (found["lag"], found["lag_s"]) == ({"results": 7}, {"results": 95.0})
    assert found["paused"] == {"results": [0, 1], "other": [4]}


def test_a_heartbeat_counts_all_open_breakers_and_describes_fifty() -> None:
    breakers = [{"key": f"key {number}", "model": "m"} for number in range(70)]
    found = details("judge", Metrics(CollectorRegistry()), {"breakers": breakers})
    assert found["breakers"] == breakers[:50]
    assert found["breakers_open"] == 70
    assert "breakers_open" not in details("sink", Metrics(CollectorRegistry()))
