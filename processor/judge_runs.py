"""What the judge role does with one task: finds the definition, runs the judge, and makes a result of it.

result          a verdict, or a skip with its reason
parked task     the run cannot be made now
dead letter     the task cannot be read, was parked for too long, or hit a defect of ours
nothing         the run is not to be made: counted under its reason
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from conditions import EventRow, RowError, decode_row
from config.definitions import Evaluation
from config.model_resolution import ResolvedModel, Unresolved
from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput, OutputConfig
from config.snapshot import CompiledEvaluation
from config.store.engine import StoreError
from config.store.judging import Budgets
from evaluators.generation import JUDGE_MARK, Generation
from evaluators.hog import HogTimeExceeded
from evaluators.llm_judge import Judge, JudgeRequest, NotRun, OutputContract, Parked, transcribe
from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.outcome import Price
from evaluators.llm_judge.prompt import MARK
from evaluators.messages import render_messages
from evaluators.verdict import JudgeUsage, Skip, Verdict
from processor.dead_letters import Reason, dead_letter
from processor.event_matcher import outcome_label, result_template
from processor.events.generation import to_generation
from processor.events.result import build_result
from processor.events.task import Task, TaskError, read_task
from processor.hog_status import HogFailures
from processor.judge_keys import KeyDirectory
from processor.judge_status import Snapshots, Statuses
from processor.ledger import Output
from processor.metrics import Metrics
from processor.parked import Parking

ROLE = "judge"
HOG_RUN = "llma-hog"


class JudgeRuns:
    """Handles tasks, many at a time. Belongs to one event loop.

    Args:
        hog_executor: threads for Hog code that takes long; Python's lock lets one run at a time, and calls wait
            in between no longer than the interpreter's switch interval.
        executor: for blocking calls to the store.
        weights: of teams (by id as text) and evaluations; 1 where there is none.
        now: aware UTC time.
    """

    def __init__(
        self,
        *,
        snapshots: Snapshots,
        directory: KeyDirectory,
        judge: Judge,
        parking: Parking,
        statuses: Statuses,
        budgets: Budgets,
        price: Price,
        failures: HogFailures,
        metrics: Metrics,
        executor: Executor | None,
        hog_executor: Executor,
        results_topic: str,
        tasks_topic: str,
        dead_letters_topic: str,
        max_message_bytes: int,
        hog_limit_s: float,
        max_prompt_chars: int,
        weights: Mapping[str, float],
        now: Callable[[], datetime],
    ) -> None:
        self._snapshots = snapshots
        self._directory = directory
        self._judge = judge
        self._parking = parking
        self._statuses = statuses
        self._budgets = budgets
        self._price = price
        self._failures = failures
        self._metrics = metrics
        self._executor = executor
        self._hog_executor = hog_executor
        self._results_topic = results_topic
        self._tasks_topic = tasks_topic
        self._dead_letters_topic = dead_letters_topic
        self._max_message_bytes = max_message_bytes
        self._hog_limit_s = hog_limit_s
        self._max_prompt_chars = max_prompt_chars
        self._weights = weights
        self._now = now

    async def handle(self, message: Any) -> list[Output]:
        """Return what comes of one task message."""
        try:
            task = read_task(message.headers())
            if message.topic() == self._tasks_topic and task.parked_since_ms:
                # Redriven from the dead letters: it has all its time again.
                task = replace(task, attempt=0, parked_since_ms=0, not_before_ms=0, parked_cause="")
            value = message.value()
            if value is None:
                raise TaskError("the task has no event")
            row = decode_row(value)
            generation = to_generation(row)
        except (TaskError, RowError) as error:
            return [self._dead(message, "decode", str(error))]
        try:
            return await self._run(task, message, row, generation)
        except StoreError as error:
            return self._park(task, message, Parked("store_unavailable", str(error), counts=False))
        except Exception as error:  # noqa: BLE001  # a defect of ours: one run's dead letter, not the end of the stream
            structlog.get_logger("gavel.judge").error(
                "evaluator_bug", evaluation_id=task.evaluation_id, event_uuid=task.event_uuid, exc_info=error
            )
            detail = f"{type(error).__name__} in evaluation {task.evaluation_id}"
            return [self._dead(message, "evaluator_bug", detail)]

    async def _run(self, task: Task, message: Any, row: EventRow, generation: Generation) -> list[Output]:
        snapshot = self._snapshots.current
        if snapshot is None:
            raise RuntimeError("the judge was started without definitions")
        found = snapshot.find(task.team_id, task.evaluation_id)
        if found is None:
            return self._not_made("evaluation_deleted")
        definition = found.definition
        if definition.status == "paused" and task.trigger == "live":
            return self._not_made("evaluation_paused")
        if is_judge_call(generation.properties):
            return self._not_made("judge_call")
        if task.run_key.startswith(HOG_RUN):
            return await self._run_hog(found, task, row, generation)
        if definition.prompt is None:
            return self._not_made("evaluation_changed_type")
        await self._directory.ensure(snapshot.revision)
        try:
            resolved = self._directory.resolve(definition)
        except Unresolved as error:
            self._statuses.set_error(definition, error.reason, error.detail)
            return self._park(task, message, Parked(error.reason, error.detail))
        return await self._run_judge(found, resolved, task, message, row, generation)

    # -- judges ---------------------------------------------------------------------------------------

    async def _run_judge(
        self,
        found: CompiledEvaluation,
        resolved: ResolvedModel,
        task: Task,
        message: Any,
        row: EventRow,
        generation: Generation,
    ) -> list[Output]:
        definition = found.definition
        self._statuses.note_use(definition, resolved)
        scopes = self._directory.scopes(definition)
        unpriced = self._unpriced(scopes, resolved)
        if unpriced is not None:
            return await self._over_budget(definition, unpriced, generation)
        outcome = await self._judge.run(self._request(definition, resolved, scopes, generation))
        if isinstance(outcome, NotRun):
            return await self._over_budget(definition, outcome.scope, generation)
        if isinstance(outcome, Parked):
            if outcome.cause == "trial_limit_reached":
                self._statuses.set_error(definition, "trial_limit_reached", outcome.detail)
            return self._park(task, message, outcome)
        return [self._result(found, task, row, generation, outcome.outcome, outcome.usage)]

    def _request(
        self,
        definition: Evaluation,
        resolved: ResolvedModel,
        scopes: tuple[BudgetScope, ...],
        generation: Generation,
    ) -> JudgeRequest:
        properties = generation.properties
        return JudgeRequest(
            team_id=definition.team_id,
            evaluation_id=definition.id,
            fingerprint=definition.fingerprint,
            criteria=definition.prompt or "",
            contract=contract_of(definition.output_config),
            endpoint=resolved.endpoint,
            model=resolved.model,
            transcript=transcribe(generation.input, generation.output, properties.get("$ai_tools")),
            errored=properties.get("$ai_is_error") in (True, "true"),
            scopes=scopes,
            cache=definition.cache_verdicts,
            weight=self._weights.get(definition.id, 1.0),
            team_weight=self._weights.get(str(definition.team_id), 1.0),
            max_chars=self._max_prompt_chars,
        )

    def _unpriced(self, scopes: tuple[BudgetScope, ...], resolved: ResolvedModel) -> BudgetScope | None:
        """Return a budget in USD that could not be held, because the model has no price."""
        if self._price(resolved.endpoint.provider, resolved.model, 0, 0) is not None:
            return None
        return next((scope for scope in scopes if scope.micro_usd is not None), None)

    async def _over_budget(self, definition: Evaluation, scope: BudgetScope, generation: Generation) -> list[Output]:
        def note() -> None:
            self._budgets.note_skip(definition.team_id, definition.id, scope, generation.timestamp, now=self._now())

        await asyncio.get_running_loop().run_in_executor(self._executor, note)
        return self._not_made("over_budget")

    # -- Hog that took too long in the matcher --------------------------------------------------------

    async def _run_hog(
        self, found: CompiledEvaluation, task: Task, row: EventRow, generation: Generation
    ) -> list[Output]:
        hog = found.hog
        if hog is None:
            return self._not_made("evaluation_changed_type")
        loop = asyncio.get_running_loop()
        outcome: Verdict | Skip
        try:
            outcome = await loop.run_in_executor(
                self._hog_executor, lambda: hog.evaluate(generation, time_limit_s=self._hog_limit_s)
            )
        except HogTimeExceeded:
            outcome = Skip("hog_error", f"the code took longer than {self._hog_limit_s:g} s")
        self._failures.note(found.definition, outcome)
        return [self._result(found, task, row, generation, outcome, None)]

    # -- what comes of it -----------------------------------------------------------------------------

    def _result(
        self,
        found: CompiledEvaluation,
        task: Task,
        row: EventRow,
        generation: Generation,
        outcome: Verdict | Skip,
        usage: JudgeUsage | None,
    ) -> Output:
        template = result_template(found)
        result = build_result(template, task, row, generation, outcome, usage)
        self._metrics.count("gavel_results", role=ROLE, runtime=template.runtime, outcome=outcome_label(outcome))
        return Output(self._results_topic, result.key, result.value, result.headers)

    def _park(self, task: Task, message: Any, parked: Parked) -> list[Output]:
        if parked.counts and self._parking.expired(task):
            return [self._dead(message, "expired", f"parked for too long; last: {parked.cause}: {parked.detail}")]
        self._metrics.count("gavel_judge_parked", cause=parked.cause)
        wait_s, counts = parked.wait_s, parked.counts
        return [self._parking.park(task, message, cause=parked.cause, wait_s=wait_s, counts=counts)]

    def _not_made(self, reason: str) -> list[Output]:
        self._metrics.count("gavel_runs_not_made", role=ROLE, reason=reason)
        return []

    def _dead(self, message: Any, reason: Reason, detail: str) -> Output:
        self._metrics.count("gavel_dead_letters", role=ROLE, reason=reason)
        return dead_letter(
            self._dead_letters_topic,
            message,
            stage=ROLE,
            reason=reason,
            detail=detail,
            max_bytes=self._max_message_bytes,
            # From the parked topic too: a run goes back to where all runs begin.
            extra=[("gavel.error.redrive_topic", self._tasks_topic.encode())],
        )


def contract_of(config: OutputConfig) -> OutputContract:
    """Return what a judge is asked to answer for an evaluation's output configuration."""
    match config:
        case BooleanOutput():
            return OutputContract(type="boolean", allows_na=config.allows_na)
        case NumericOutput():
            return OutputContract(
                type="numeric", allows_na=config.allows_na, minimum=config.min, maximum=config.max, step=config.step
            )
        case CategoricalOutput():
            return OutputContract(
                type="categorical",
                allows_na=config.allows_na,
                options=tuple((option.key, option.label) for option in config.options),
                multiple=config.selection_mode == "multiple",
            )


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
