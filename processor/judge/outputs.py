"""The records for Kafka that one task leads to: a result, a parked task, a dead letter, or none and a count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from conditions import EventRow
from config.settings import Topics
from evaluators.generation import Generation
from evaluators.llm_judge import Parked
from evaluators.verdict import JudgeUsage, Skip, StepUsage, Verdict
from processor.dead_letters.letter import REDRIVE_TOPIC, Reason, dead_letter
from processor.events.decision import decision_output
from processor.events.measurement import measurement_output
from processor.events.message import Message
from processor.events.output import Output
from processor.events.result import build_result, outcome_label, result_template, verdict_label
from processor.events.row import ROOM_BYTES
from processor.events.task import Task
from processor.judge.answers import written_answers
from processor.judge.parked import TURNED_AWAY, Parking
from processor.metrics import Metrics
from processor.notices import Notices
from processor.result_latency import ResultLatency
from processor.tracing.queue import TraceQueue
from storage.snapshot import CompiledEvaluation

ROLE = "judge"
NotMade = Literal[
    "evaluation_deleted",
    "evaluation_paused",
    "evaluation_changed_type",
    "judge_call",
    "over_budget",
    "measurement_ended",
]
"""Why a run that was due is not made."""


class RunOutputs:
    """Makes the outputs of runs and counts them.

    Args:
        now: aware UTC time.
        max_message_bytes: above it a dead letter carries no value, and a result becomes a dead letter.
        traces: decides which results are exemplars of their latency; None if nothing is traced.
    """

    def __init__(
        self,
        parking: Parking,
        metrics: Metrics,
        topics: Topics,
        *,
        max_message_bytes: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        traces: TraceQueue | None = None,
    ) -> None:
        self._now = now
        self._notices = Notices("gavel.judge")
        self._parking = parking
        self._metrics = metrics
        self._latency = ResultLatency(metrics, ROLE, traces)
        self.topics = topics
        self._max_message_bytes = max_message_bytes

    def result(
        self,
        message: Message,
        found: CompiledEvaluation,
        task: Task,
        row: EventRow,
        generation: Generation,
        outcome: Verdict | Skip,
        usage: JudgeUsage | None = None,
    ) -> list[Output]:
        """Return the result of a run that was made, or the task's dead letter if the broker would refuse the result."""
        template = result_template(found)
        result = build_result(template, task, row, generation, outcome, usage)
        limit_bytes = self._max_message_bytes - ROOM_BYTES
        if len(result.value) > limit_bytes:
            size = f"{len(result.value)} bytes; the limit is {limit_bytes}"
            detail = f"the result of evaluation {task.evaluation_id} has {size}"
            return self.dead(message, "too_large", detail)
        label = outcome_label(outcome)
        self._metrics.count("gavel_results", role=ROLE, runtime=template.runtime, outcome=label)
        self._metrics.count_results(task.team_id, task.evaluation_id, verdict_label(label))
        if usage is not None and usage.suspected_injection:
            self._metrics.count("gavel_suspected_injections")
        for step in () if usage is None else usage.steps:
            self._metrics.count("gavel_judge_steps", step=str(step.step), outcome=_step_label(step))
        if task.trigger == "live":
            self._latency.note(generation.timestamp, self._now(), result.uuid, generation.properties)
            self._latency.flush()
        return [result.output(self.topics.results)]

    def measurement(
        self,
        message: Message,
        found: CompiledEvaluation,
        task: Task,
        row: EventRow,
        generation: Generation,
        outcome: Verdict | Skip,
        usage: JudgeUsage | None = None,
        *,
        not_made: str = "",
    ) -> list[Output]:
        """Return the result of a measurement's run, for a topic of its own, or the task's dead letter."""
        template = result_template(found)
        output = measurement_output(
            self.topics.measurements, template, task, row, generation, outcome, usage, not_made=not_made
        )
        if len(output.value or b"") > self._max_message_bytes - ROOM_BYTES:
            return self.dead(message, "too_large", f"a measurement of evaluation {task.evaluation_id} is too large")
        self._metrics.count("gavel_measurement_calls", kind=task.measurement_kind)
        if usage is not None and usage.cost_usd is not None:
            self._metrics.count("gavel_measurement_cost_usd", usage.cost_usd, kind=task.measurement_kind)
        return [output]

    def parked(self, task: Task, message: Message, parked: Parked, *, fingerprint: str = "") -> list[Output]:
        """Return the task as it waits for a later try, or its dead letter if it has waited for too long.

        Args:
            fingerprint: of the definition that gave the answers which the run has so far.
        """
        if parked.counts and self._parking.expired(task):
            return self.dead(message, "expired", f"parked for too long; last: {parked.cause}: {parked.detail}")
        self._metrics.count("gavel_judge_parked", cause=parked.cause)
        self._notices.note(
            "runs_parked", parked.cause, cause=parked.cause, evaluation_id=task.evaluation_id, detail=parked.detail
        )
        cause = TURNED_AWAY if parked.turned_away else parked.cause
        if parked.answers:
            task = replace(task, answers=written_answers(fingerprint, parked.answers))
        waiting = self._parking.park(task, message, cause=cause, wait_s=parked.wait_s, counts=parked.counts)
        if task.attempt or not parked.counts or parked.cause == "evaluation_unknown" or task.trigger == "measurement":
            return [waiting]  # told before, or a wait of a moment
        return [waiting, decision_output(task, "parked", parked.cause, parked.detail, self.topics.results)]

    def not_made(self, task: Task, reason: NotMade, detail: str = "") -> list[Output]:
        """Count a run that is not to be made, and return the record of the decision."""
        self._metrics.count("gavel_runs_not_made", role=ROLE, reason=reason)
        if reason == "judge_call" or task.trigger == "measurement":
            return []  # it follows from the event, as `gavel why` shows; a measurement changes nothing
        self._notices.note(
            "runs_not_made", reason, task.evaluation_id, reason=reason, evaluation_id=task.evaluation_id, detail=detail
        )
        return [decision_output(task, "not_made", reason, detail, self.topics.results)]

    def dead(self, message: Message, reason: Reason, detail: str) -> list[Output]:
        """Return the dead letter of a task."""
        self._metrics.count("gavel_dead_letters", role=ROLE, reason=reason)
        letter = dead_letter(
            self.topics.dead_letters,
            message,
            stage=ROLE,
            reason=reason,
            detail=detail,
            max_bytes=self._max_message_bytes,
            # A letter from the parked topic goes back to the task topic too, where all runs begin.
            extra=[(REDRIVE_TOPIC, self.topics.tasks.encode())],
        )
        return [letter]


def _step_label(step: StepUsage) -> str:
    if step.verdict is None:
        return "skipped"
    return "cached" if step.cached else "judged"
