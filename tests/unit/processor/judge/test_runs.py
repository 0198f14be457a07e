"""One task of the judge role: a result, a parked task, a dead letter, or a count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from config.definitions import Evaluation
from config.settings import Topics
from config.settings.sections import Judge as JudgeSettings
from evaluators.llm_judge.budget import BudgetScope
from processor.events.identity import run_key
from processor.events.output import Output
from processor.events.task import Task, read_task
from processor.hog_failures import HogFailures
from processor.judge.definitions import TaskDefinitions
from processor.judge.hog_runs import HogRuns
from processor.judge.outputs import RunOutputs
from processor.judge.over_budget import OverBudgetRuns
from processor.judge.parked import TURNED_AWAY, Delays, Parking
from processor.judge.runs import JudgeRuns, Runners, Versions
from storage.snapshot import CompiledEvaluation
from tests.unit.processor.judge.room import TEAM, Room, evaluation, in_a_room

UUID = "018f0000-0000-7000-8000-000000000001"
ROW = {
    "uuid": UUID,
    "event": "$ai_generation",
    "team_id": TEAM,
    "distinct_id": "d",
    "timestamp": "2026-03-02 12:00:00.000000",
    "properties": json.dumps({"$ai_input": "Where is it?", "$ai_output": "It left on Monday."}),
}
TASK = Task(TEAM, "e1", UUID, run_key("llm_judge", "e1", UUID), "c", "2026-03-02T12:00:00+00:00", revision=1, version=1)


class Message:
    """A task as it comes from Kafka."""

    def __init__(self, task: Task = TASK, value: bytes | None = None, topic: str = "tasks", **row: Any) -> None:
        self._headers = task.headers()
        self._value = json.dumps({**ROW, **row}).encode() if value is None else value
        self._topic = topic

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 5

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes | None:
        return self._value or None

    def headers(self) -> Any:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)


class Skipped:
    """Stands where the store of budgets is: notes the ranges."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, datetime]] = []

    def note_skip(self, team_id: int, evaluation_id: str, scope: BudgetScope, at: datetime, *, now: datetime) -> None:
        assert team_id == TEAM
        assert now.tzinfo is not None
        self.noted.append((evaluation_id, scope.owner, at))


class Unmeasured:
    """Stands where the versions of measurements are: there is one, and it is wanted."""

    async def at(self, found: CompiledEvaluation, _version: int) -> CompiledEvaluation:
        return found

    async def is_wanted(self, task: Task) -> bool:
        return task.measurement_id == "wanted"


class Runs:
    """`JudgeRuns` in a room."""

    def __init__(self, room: Room, *, deleted: bool = False) -> None:
        self.room = room
        self.skipped = Skipped()
        self.hog = ThreadPoolExecutor(1)
        self.deleted = deleted
        parking = Parking(
            "parked", Delays(30.0, 900.0, 8), limit_s=86_400.0, now_ms=room.now_ms, releases=room.statuses
        )
        outputs = RunOutputs(
            parking,
            room.metrics,
            Topics(results="results", measurements="measurements", tasks="tasks", dead_letters="dead"),
            max_message_bytes=1_000_000,
        )
        budgets: Any = self.skipped
        self.runs = JudgeRuns(
            # Measurements have tests of their own.
            Versions(TaskDefinitions(room.store, self, None), Unmeasured()),
            room.directory,
            Runners(room.bench.judge, HogRuns(self.hog, HogFailures(lambda *_run: None), 5.0)),
            room.statuses,
            outputs=outputs,
            over_budget=OverBudgetRuns(budgets, room.bench.price, room.bench.now, None),
            settings=JudgeSettings(),
            now_ms=room.now_ms,
        )

    def is_deleted(self, _team_id: int, _evaluation_id: str) -> bool:
        return self.deleted

    async def handle(self, message: Message) -> list[Output]:
        return await self.runs.handle(message)

    def not_made(self, reason: str) -> float | None:
        labels = {"role": "judge", "reason": reason}
        return self.room.metrics.registry.get_sample_value("gavel_runs_not_made_total", labels)


def decision_of(outputs: list[Output]) -> tuple[str, str]:
    """The decision that the only output, or the one behind a parked run, records."""
    properties = json.loads(json.loads(outputs[-1].value or b"")["properties"])
    assert properties["$ai_target_event_id"] == TASK.event_uuid
    return properties["$ai_decision"], properties["$ai_decision_reason"]


def with_runs(work: Callable[[Runs], Awaitable[None]], *evaluations: Evaluation, deleted: bool = False) -> None:
    async def inside(room: Room) -> None:
        runs = Runs(room, deleted=deleted)
        await work(runs)
        runs.hog.shutdown()

    in_a_room(inside, *evaluations)


def properties(output: Output) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.loads(output.value or b"")["properties"])
    return found


def test_a_task_becomes_a_result() -> None:
    async def work(runs: Runs) -> None:
        (result,) = await runs.handle(Message())
        assert result.topic == "results"
        assert properties(result)["$ai_evaluation_result"] is True

    with_runs(work, evaluation())


def test_a_result_that_the_broker_would_refuse_is_a_dead_letter() -> None:
    """The trace id is copied into the result, where each of its quotes takes four bytes and more."""

    async def work(runs: Runs) -> None:
        long = json.dumps({"$ai_input": "Where?", "$ai_output": "Here.", "$ai_trace_id": '"' * 300_000})
        (letter,) = await runs.handle(Message(properties=long))
        headers = dict(letter.headers)
        assert letter.topic == "dead"
        assert headers["gavel.error.class"] == b"too_large"
        assert b"the limit is" in (headers["gavel.error.message"] or b"")

    with_runs(work, evaluation())


@pytest.mark.parametrize("value", [b"", b"{", b'{"uuid": 5}'])
def test_what_is_no_event_is_a_dead_letter_with_the_way_back(value: bytes) -> None:
    async def work(runs: Runs) -> None:
        (letter,) = await runs.handle(Message(value=value or b"\x00"))
        assert letter.topic == "dead"
        assert dict(letter.headers)["gavel.error.class"] == b"decode"
        assert dict(letter.headers)["gavel.error.redrive_topic"] == b"tasks"

    with_runs(work, evaluation())


def test_a_run_of_a_deleted_evaluation_is_counted_and_one_of_an_unknown_waits() -> None:
    async def dropped(runs: Runs) -> None:
        assert decision_of(await runs.handle(Message())) == ("not_made", "evaluation_deleted")
        assert runs.not_made("evaluation_deleted") == 1

    async def waits(runs: Runs) -> None:
        (parked,) = await runs.handle(Message())
        assert parked.topic == "parked"
        assert read_task(parked.headers).parked_cause == "evaluation_unknown"

    with_runs(dropped, deleted=True)
    with_runs(waits)


def test_a_paused_evaluation_makes_no_live_runs_but_manual_ones() -> None:
    async def work(runs: Runs) -> None:
        assert decision_of(await runs.handle(Message())) == ("not_made", "evaluation_paused")
        assert runs.not_made("evaluation_paused") == 1
        (result,) = await runs.handle(Message(replace(TASK, trigger="manual")))
        assert result.topic == "results"

    with_runs(work, evaluation(enabled=False, status="paused"))


def test_a_judges_own_call_is_not_judged() -> None:
    async def work(runs: Runs) -> None:
        own = {"$ai_input": [{"role": "system", "content": "[gavel-judge] You are …"}], "$ai_output": "x"}
        assert await runs.handle(Message(properties=json.dumps(own))) == []
        assert runs.not_made("judge_call") == 1

    with_runs(work, evaluation())


def test_hog_that_took_long_is_run_here() -> None:
    hog = evaluation(evaluation_type="hog", evaluation_config={"source": "return true"}, model_configuration=None)
    task = replace(TASK, run_key=run_key("hog", "e1", UUID))

    async def work(runs: Runs) -> None:
        (result,) = await runs.handle(Message(task))
        assert properties(result)["$ai_evaluation_runtime"] == "hog"
        assert decision_of(await runs.handle(Message())) == ("not_made", "evaluation_changed_type"), "it was a judge"
        assert runs.not_made("evaluation_changed_type") == 1

    with_runs(work, hog)


def test_a_run_without_a_key_waits_as_one_that_was_turned_away_and_the_evaluation_says_why() -> None:
    async def work(runs: Runs) -> None:
        runs.room.store.key = None
        runs.room.store.revision += 1
        await runs.room.tick()
        parked, decision = await runs.handle(Message())
        assert read_task(parked.headers).parked_cause == TURNED_AWAY
        assert decision_of([decision])[0] == "parked"
        await asyncio.sleep(1.0)
        assert runs.room.store.writes == [("e1", "provider_key_deleted")]

    with_runs(work, evaluation())


def test_a_refused_text_is_parked_and_skipped_when_it_is_refused_again() -> None:
    async def work(runs: Runs) -> None:
        runs.room.bench.script({"match": {"contains": "It left"}, "action": "forbidden"})
        message, causes = Message(), []
        for _ in range(2):
            parked, *_ = await runs.handle(message)
            causes.append(read_task(parked.headers).parked_cause)
            message = Message(read_task(parked.headers), topic="parked")
        (result,) = await runs.handle(message)
        assert causes == ["forbidden", "refused"]
        assert properties(result)["$ai_evaluation_skip_reason"] == "content_filtered"
        assert runs.room.store.writes == []

    with_runs(work, evaluation())


def test_a_run_that_waited_for_a_day_is_a_dead_letter_and_redriven_it_begins_anew() -> None:
    async def work(runs: Runs) -> None:
        runs.room.bench.script({"action": "unauthorized"})
        old = replace(TASK, attempt=9, parked_since_ms=runs.room.now_ms() - 86_500_000, parked_cause="unauthorized")
        (letter,) = await runs.handle(Message(old, topic="parked"))
        assert dict(letter.headers)["gavel.error.class"] == b"expired"
        outputs = await runs.handle(Message(old))
        assert read_task(outputs[0].headers).attempt == 1
        assert decision_of(outputs) == ("parked", "unauthorized")

    with_runs(work, evaluation())


def test_a_budget_in_dollars_that_cannot_be_held_makes_no_call_and_remembers_the_event() -> None:
    async def work(runs: Runs) -> None:
        assert decision_of(await runs.handle(Message())) == ("not_made", "over_budget")
        assert runs.not_made("over_budget") == 1
        ((evaluation_id, owner, at),) = runs.skipped.noted
        assert (evaluation_id, owner, at.isoformat()) == ("e1", "evaluation:e1", "2026-03-02T12:00:00+00:00")
        assert runs.room.bench.calls == []

    with_runs(work, evaluation(budget={"usd": 1.0, "period": "day"}))


def test_a_defect_of_ours_costs_one_run() -> None:
    async def work(runs: Runs) -> None:
        def broken(*_: Any, **__: Any) -> Any:
            raise ZeroDivisionError

        runs.room.bench.judge.run = broken
        (letter,) = await runs.handle(Message())
        assert dict(letter.headers)["gavel.error.class"] == b"evaluator_bug"
        assert b"ZeroDivisionError" in (dict(letter.headers)["gavel.error.message"] or b"")

    with_runs(work, evaluation())


MEASURED = replace(
    TASK, trigger="measurement", measurement_id="wanted", measurement_kind="comparison", item="event:1", repeat=2,
    run_key="llma-measurement-wanted",
)  # fmt: skip


def test_a_measurement_goes_to_a_topic_of_its_own_and_its_id_comes_back_on_a_retry() -> None:
    async def work(runs: Runs) -> None:
        (first,), (again,) = await runs.handle(Message(MEASURED)), await runs.handle(Message(MEASURED))
        assert (first.topic, first.kind) == ("measurements", "measurement")
        found = json.loads(first.value or b"")
        assert found["event"] == "$ai_evaluation_measurement"
        assert found["uuid"] == json.loads(again.value or b"")["uuid"]
        said = properties(first)
        assert (said["$ai_measurement_run_id"], said["$ai_measurement_repeat"]) == ("wanted", 2)
        assert said["$ai_evaluation_result"] is True
        assert (said["$ai_evaluation_cached"], properties(again)["$ai_evaluation_cached"]) == (False, False)
        assert runs.room.metrics.total("gavel_measurement_calls", kind="comparison") == 2
        assert runs.room.metrics.total("gavel_results") == 0, "a measurement is not a result of the evaluation"

    with_runs(work, evaluation())


def test_a_judgement_of_a_cancelled_measurement_is_dropped_and_counted() -> None:
    async def work(runs: Runs) -> None:
        assert await runs.handle(Message(replace(MEASURED, measurement_id="cancelled"))) == []
        assert runs.not_made("measurement_ended") == 1

    with_runs(work, evaluation())
