"""An event that the matcher had no time for gives the same outputs in the judge role."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from config.settings import load_settings
from processor.events.message import Message
from processor.events.output import Output
from processor.hog_failures import HogFailures
from processor.judge.role import with_matching
from processor.matcher.budget import TeamBudget
from processor.matcher.late import late_matcher
from processor.metrics import Metrics
from tests.services.records import Record, generation_row
from tests.unit.processor.matcher.matching import event_matcher, outputs_of, snapshot_of

SNAPSHOT = snapshot_of({}, {"conditions": [{"id": "some", "rollout_percentage": 50, "properties": []}]})


def late() -> Any:
    context: Any = SimpleNamespace(
        traces=None,
        settings=load_settings(environ={}),
        metrics=Metrics(CollectorRegistry()),
        snapshots=SimpleNamespace(current=SNAPSHOT),
        hog_failures=lambda: HogFailures(lambda *_: None),
    )
    return late_matcher(context)


def identities(outputs: list[Output]) -> list[tuple[bytes | None, Any]]:
    return [(output.key, dict(output.headers)["result_id"]) for output in outputs]


def test_a_late_event_gives_the_results_that_it_would_have_given_in_time() -> None:
    budget = TeamBudget(1.0)
    budget.matched(1, 2.0)
    match = late()
    for number in range(20):
        row = generation_row(number)
        (moved,) = event_matcher(budget).take([Record(row)], SNAPSHOT, lambda *_: None)
        task = Record(moved.value, head=moved.headers)
        assert identities(match(task)) == identities(outputs_of(SNAPSHOT, row))


def test_the_judge_matches_late_events_on_another_thread_and_handles_tasks_itself() -> None:
    budget = TeamBudget(1.0)
    budget.matched(1, 2.0)
    (moved,) = event_matcher(budget).take([Record(generation_row(1))], SNAPSHOT, lambda *_: None)
    seen: list[str] = []

    async def handle(_message: Message) -> list[Output]:
        seen.append("task")
        return []

    def match(_message: Message) -> list[Output]:
        seen.append("late")
        return []

    async def both() -> None:
        with ThreadPoolExecutor(1) as threads:
            either = with_matching(handle, match, threads)
            await either(Record(moved.value, head=moved.headers))
            await either(Record(b"{}"))

    asyncio.run(both())
    assert seen == ["late", "task"]


def test_a_late_event_that_cannot_be_read_is_a_dead_letter() -> None:
    (letter,) = late()(Record(b"$ai_generation"))
    assert (letter.kind, dict(letter.headers)["gavel.error.class"]) == ("dead_letter", b"decode")
