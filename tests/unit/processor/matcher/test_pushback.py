"""On the embedded broker the matcher waits for the judges instead of losing tasks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from processor.dead_letters.letter import RatioGuard
from processor.matcher.pushback import TaskRoom
from processor.matcher.worker import MatcherWorker
from processor.metrics import Metrics
from tests.services.records import Record, generation_row, span_of
from tests.unit.processor.matcher.matching import TO, event_matcher, snapshot_of

JUDGE = {
    "evaluation_type": "llm_judge",
    "evaluation_config": {"prompt": "Is it right?"},
    "model_configuration": {"provider": "openai", "model": "gpt-5-mini"},
}


def test_the_matcher_pauses_while_tasks_wait_and_goes_on_when_they_are_judged() -> None:
    metrics = Metrics(CollectorRegistry())
    room = TaskRoom(metrics, ["tasks", "parked"], 4)
    snapshots: Any = SimpleNamespace(current=snapshot_of(JUDGE))
    worker = MatcherWorker(snapshots, event_matcher(), TO, RatioGuard(0.5, 1000), room)

    def lag(records: int, topic: str = "parked") -> None:
        metrics.set("gavel_consumer_lag", records, role="judge", topic=topic, partition="3")

    lag(1_000_000)
    assert not worker.blocked(), "nothing is known of the size of tasks before there is one"
    worker.submit([span_of([Record(generation_row(n), n) for n in range(10)])])
    assert worker.blocked()
    lag(100)
    assert not worker.blocked()
    lag(100_000, "tasks")
    assert worker.blocked()


def test_a_real_broker_keeps_what_waits() -> None:
    snapshots: Any = SimpleNamespace(current=snapshot_of(JUDGE))
    assert not MatcherWorker(snapshots, event_matcher(), TO, RatioGuard(0.5, 1000)).blocked()
