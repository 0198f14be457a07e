"""A role's heartbeat says how many runs wait on purpose, and for how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from processor.metrics import AgeGauge, Metrics
from processor.runtime.logs import RecentProblems
from processor.runtime.vitals import stage_vitals

STAGE: Any = SimpleNamespace(sources=(), records_in_flight=0, subscribed=True, waits_for_partitions=False)


def details(role: str, metrics: Metrics) -> dict[str, Any]:
    stage = cast("Any", SimpleNamespace(**vars(STAGE), role=role))
    snapshots = cast("Any", SimpleNamespace(current=None, last_error=None))
    return stage_vitals(stage, snapshots, metrics, RecentProblems(), {}).details


def test_the_judge_tells_its_parked_runs_and_the_age_of_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgeGauge, "clock", lambda: 1000.0)
    metrics = Metrics(CollectorRegistry())
    assert details("judge", metrics)["parked"] == {"records": 0, "oldest_s": 0.0}
    for partition, records, since_s in (("0", 3, 900.0), ("1", 2, 400.0), ("2", 0, 0.0)):
        metrics.set("gavel_parked_records", records, topic="parked", partition=partition)
        metrics.since("gavel_parked_oldest_seconds", since_s, topic="parked", partition=partition)
    assert details("judge", metrics)["parked"] == {"records": 5, "oldest_s": 600.0}
    assert "parked" not in details("sink", metrics)
