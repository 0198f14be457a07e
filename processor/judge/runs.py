"""One task of the judge role: it finds the definition, runs the judge, and makes a result of the verdict.

result          a verdict, or a skip with its reason
parked task     the run cannot be made now
dead letter     the task cannot be read, was parked for too long, or hit a defect of ours
nothing         the run is not to be made: counted under its reason
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from conditions import EventRow, RowError, decode_row
from config.definitions import Evaluation
from config.judge_request import request_of
from config.model_resolution import ResolvedModel, Unresolved
from config.settings.sections import Judge as JudgeSettings
from evaluators.generation import JUDGE_MARK, Generation
from evaluators.llm_judge import Judge, JudgeRequest, NotRun, Parked
from evaluators.llm_judge.outcome import REFUSED, TracedRun
from evaluators.llm_judge.prompt import MARK
from evaluators.messages import render_messages
from evaluators.verdict import Skip
from processor.dead_letters.letter import raised_at
from processor.events.generation import to_generation
from processor.events.identity import result_uuid
from processor.events.message import Message, headers_of
from processor.events.output import Output
from processor.events.task import Task, TaskError, read_task
from processor.judge.answers import read_answers
from processor.judge.definitions import TaskDefinitions, UnknownDefinition
from processor.judge.hog_runs import HogRuns
from processor.judge.keys import KeyDirectory
from processor.judge.measured import MeasuredVersions, measurement_scope
from processor.judge.outputs import RunOutputs
from processor.judge.over_budget import OverBudgetRuns
from processor.judge.statuses import Statuses
from storage.snapshot import CompiledEvaluation
from storage.sql.engine import StoreError

HOG_RUN = "llma-hog"
_MAX_ID_CHARS = 100


@dataclass(frozen=True, slots=True)
class _Event:
    """A task with the event that it is about."""

    task: Task
    message: Message
    row: EventRow
    generation: Generation


@dataclass(frozen=True, slots=True)
class Versions:
    """The definition that a task is judged by: the newest, or the version that a measurement asks for."""

    definitions: TaskDefinitions
    measured: MeasuredVersions


@dataclass(frozen=True, slots=True)
class Runners:
    """The parts that make a run, one for each kind of evaluation."""

    judge: Judge
    hog: HogRuns


class JudgeRuns:
    """Handles tasks, many at a time. Belongs to one event loop.

    Args:
        now_ms: epoch milliseconds.
    """

    def __init__(
        self,
        versions: Versions,
        directory: KeyDirectory,
        runners: Runners,
        statuses: Statuses,
        *,
        outputs: RunOutputs,
        over_budget: OverBudgetRuns,
        settings: JudgeSettings,
        now_ms: Callable[[], int],
    ) -> None:
        self._definitions, self._measured = versions.definitions, versions.measured
        self._directory = directory
        self._judge, self._hog_runs = runners.judge, runners.hog
        self._statuses = statuses
        self._outputs = outputs
        self._over_budget = over_budget
        self._settings = settings
        self._now_ms = now_ms

    async def handle(self, message: Message) -> list[Output]:
        """Return the outputs of one task message. Each line of the log on the way names the run."""
        try:
            event = self._read(message)
        except (TaskError, RowError) as error:
            return self._outputs.dead(message, "decode", str(error))
        with bound_contextvars(**_names(event)):
            return await self._handle(event, message)

    async def _handle(self, event: _Event, message: Message) -> list[Output]:
        try:
            return await self._run(event)
        except UnknownDefinition as unknown:
            counts = unknown.cause != "store_unavailable"
            return self._outputs.parked(event.task, message, Parked(unknown.cause, str(unknown), counts=counts))
        except StoreError as error:
            return self._outputs.parked(event.task, message, Parked("store_unavailable", str(error), counts=False))
        except Exception as error:  # noqa: BLE001  # a defect of ours: one run's dead letter, not the end of the stream
            structlog.get_logger("gavel.judge").error(
                "evaluator_bug",
                evaluation_id=event.task.evaluation_id,
                event_uuid=event.task.event_uuid,
                error=type(error).__name__,
                where=raised_at(error),
            )
            detail = f"{type(error).__name__} in evaluation {event.task.evaluation_id}"
            return self._outputs.dead(message, "evaluator_bug", detail)

    def _read(self, message: Message) -> _Event:
        task = read_task(headers_of(message))
        if message.topic() == self._outputs.topics.tasks and task.parked_since_ms:
            # Redriven from the dead letters: it has all its time again.
            task = replace(task, attempt=0, parked_since_ms=0, not_before_ms=0, parked_cause="")
        value = message.value()
        if value is None:
            raise TaskError("the task has no event")
        row = decode_row(value)
        return _Event(task, message, row, to_generation(row))

    async def _run(self, event: _Event) -> list[Output]:
        task = event.task
        found = await self._definitions.find(task)
        if found is None:
            return self._outputs.not_made(event.task, "evaluation_deleted")
        definition = found.definition
        if definition.status == "paused" and task.trigger == "live":
            return self._outputs.not_made(event.task, "evaluation_paused")
        if is_judge_call(event.generation.properties):
            return self._outputs.not_made(event.task, "judge_call")
        if task.trigger == "measurement":
            return await self._measure(found, event)
        if task.run_key.startswith(HOG_RUN):
            return await self._run_hog(found, event)
        if definition.prompt is None:
            return self._outputs.not_made(event.task, "evaluation_changed_type")
        begun_ms = self._now_ms()
        outcome = await self._judged(found, event)
        turned_away = isinstance(outcome, Parked) and outcome.turned_away
        if turned_away and self._statuses.released_ms(definition.id) >= begun_ms:
            outcome = await self._judged(found, event)  # the obstacle went away at the same moment
        if isinstance(outcome, Parked):
            return self._outputs.parked(task, event.message, outcome, fingerprint=definition.fingerprint)
        return outcome

    async def _measure(self, found: CompiledEvaluation, event: _Event) -> list[Output]:
        """Return the outputs of a measurement's run. It changes nothing of the evaluation, whatever comes out."""
        task = event.task
        if not await self._measured.is_wanted(task):
            return self._outputs.not_made(task, "measurement_ended")
        version = await self._measured.at(found, task.version)
        if version is None:
            return self._outputs.not_made(task, "evaluation_changed_type")
        if version.hog is not None:
            outcome = await self._hog_runs.try_out(version.hog, event.generation)
            return self._outputs.measurement(event.message, version, task, event.row, event.generation, outcome)
        definition = version.definition
        try:
            resolved = await self._resolved(definition)
        except Unresolved as error:
            return self._outputs.parked(task, event.message, Parked(error.reason, error.detail))
        scopes = self._directory.scopes(definition)
        own = [measurement_scope(each, definition.id) for each in scopes if each.owner == f"evaluation:{definition.id}"]
        request = request_of(
            definition, resolved, event.generation, self._settings, evaluation_id=definition.id,
            scopes=(*scopes, *own), cache=False,
        )  # fmt: skip
        judged = await self._judge.run(_resumed(request, event))
        if isinstance(judged, Parked):
            return self._outputs.parked(task, event.message, judged, fingerprint=definition.fingerprint)
        if isinstance(judged, NotRun):
            skip = Skip("hog_error", judged.detail)
            return self._outputs.measurement(
                event.message, version, task, event.row, event.generation, skip, not_made="over_budget"
            )
        return self._outputs.measurement(
            event.message, version, task, event.row, event.generation, judged.outcome, judged.usage
        )

    async def _run_hog(self, found: CompiledEvaluation, event: _Event) -> list[Output]:
        if found.hog is None:
            return self._outputs.not_made(event.task, "evaluation_changed_type")
        outcome = await self._hog_runs.run(found, found.hog, event.generation)
        return self._outputs.result(event.message, found, event.task, event.row, event.generation, outcome)

    async def _judged(self, found: CompiledEvaluation, event: _Event) -> list[Output] | Parked:
        """Return the outputs of a judge's run, or why it has to wait."""
        definition = found.definition
        try:
            resolved = await self._resolved(definition)
        except Unresolved as error:
            self._statuses.set_error(definition, error.reason, error.detail)
            return Parked(error.reason, error.detail, turned_away=True)
        self._statuses.note_use(definition, resolved)
        scopes = self._directory.scopes(definition)
        unpriced = next(filter(None, (self._over_budget.unpriced(scopes, model) for model in resolved.all)), None)
        if unpriced is not None:
            await self._over_budget.remember(definition, unpriced, event.generation.timestamp)
            detail = f"the budget of {unpriced.owner} is in USD, and the model has no price"
            return self._outputs.not_made(event.task, "over_budget", detail)
        request = request_of(
            definition,
            resolved,
            event.generation,
            self._settings,
            evaluation_id=definition.id,
            scopes=scopes,
            cache=True,
        )
        task = event.task
        outcome = await self._judge.run(_resumed(request, event))
        if isinstance(outcome, NotRun):
            await self._over_budget.remember(definition, outcome.scope, event.generation.timestamp)
            return self._outputs.not_made(event.task, "over_budget", f"the budget of {outcome.scope.owner} is used up")
        if isinstance(outcome, Parked):
            if outcome.cause == "trial_limit_reached":
                self._statuses.set_error(definition, "trial_limit_reached", outcome.detail)
            return outcome
        return self._outputs.result(
            event.message, found, task, event.row, event.generation, outcome.outcome, outcome.usage
        )

    async def _resolved(self, definition: Evaluation) -> ResolvedModel:
        """Return the key and the model of an evaluation.

        A key that this process has just seen to work is taken although the store may still say that it does not.

        Raises:
            Unresolved: none can be found.
            StoreError: the keys were never loaded.
        """
        await self._directory.ensure(self._definitions.current.revision)
        try:
            return self._directory.resolve(definition)
        except Unresolved:
            working = self._statuses.working(definition)
            if working is None:
                raise
            return working


def _origin(event: _Event) -> TracedRun:
    return TracedRun(result_uuid(event.task.run_key), event.generation.properties.get("$ai_trace_id"))


def _names(event: _Event) -> dict[str, str]:
    """Return the ids by which a line of the log is joined with the event, its result and its trace."""
    names = {"event_uuid": event.task.event_uuid, "result_id": result_uuid(event.task.run_key)}
    trace_id = event.generation.properties.get("$ai_trace_id")
    return {**names, "trace_id": trace_id[:_MAX_ID_CHARS]} if isinstance(trace_id, str) else names


def _resumed(request: JudgeRequest, event: _Event) -> JudgeRequest:
    """Return the request of a run with the answers and the marks of its earlier tries, and its event."""
    task = event.task
    changes: dict[str, Any] = {
        "parked_before": task.attempt > 0,
        "refused_before": task.parked_cause == REFUSED,
        "origin": _origin(event),
    }
    if request.plan is not None:
        steps = [
            step if step.request is None else replace(step, request=replace(step.request, **changes))
            for step in request.plan.steps
        ]
        changes["plan"] = replace(request.plan, steps=tuple(steps))
        changes["answers"] = read_answers(task.answers, request.fingerprint)
    return replace(request, **changes)


def is_judge_call(properties: Mapping[str, Any]) -> bool:
    """Whether a generation is a judge's own call: by its property, or by the first word of its system message.

    A gateway that logs calls may know nothing of our property, and the system message is not for users to write.
    """
    if JUDGE_MARK in properties:
        return True
    messages = properties.get("$ai_input")
    first = messages[0] if isinstance(messages, list) and messages else None
    if not isinstance(first, Mapping) or first.get("role") not in ("system", "developer"):
        return False
    return "".join(render_messages([first])[:1]).partition(": ")[2].startswith(MARK)
