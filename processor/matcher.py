"""The matcher role: reads events, decides which evaluations run, runs Hog inline, hands the rest to judges.

Live, preview and replay decide with the same `conditions.Matcher` and run through `EventMatcher`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Protocol

import msgspec
import structlog

from conditions import EventRow, RowError, decode_row
from config.snapshot import CompiledEvaluation, Snapshot, TeamSnapshot
from evaluators.generation import JUDGE_MARK
from evaluators.hog import GenerationGlobals, HogEvaluator, HogTimeExceeded
from evaluators.verdict import Skip, Verdict
from processor.dead_letters import RatioGuard, Reason, dead_letter
from processor.events.generation import GENERATION_EVENT, lazy_generation
from processor.events.identity import Trigger, run_key_frame
from processor.events.result import ResultTemplate, ResultWriter
from processor.events.task import Task
from processor.hog_status import HogFailures
from processor.ledger import Output, Span, TopicAndPartition
from processor.metrics import Metrics
from processor.worker import Worker

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Larger events are dead letters: a task or a result must fit into a message with room for headers."""

_MARK = GENERATION_EVENT.encode()
_TRACK_HEADER, _TRACK = "productTrack", b"llma"


class EventTooLarge(Exception):
    """An event over the limit of spec and settings."""


class Snapshots(Protocol):
    """Where the definitions come from."""

    @property
    def current(self) -> Snapshot | None:
        """The newest definitions, or None before the first load."""


def outcome_label(outcome: Verdict | Skip) -> str:
    """Return the bounded metric label of an outcome."""
    if isinstance(outcome, Skip):
        return outcome.reason
    if not outcome.applicable:
        return "not_applicable"
    if outcome.result is None:
        return "scored"
    return "pass" if outcome.result else "fail"


def result_template(evaluation: CompiledEvaluation) -> ResultTemplate:
    """Return what the results of `evaluation` have in common."""
    definition = evaluation.definition
    config = definition.output_config
    return ResultTemplate(
        evaluation_id=str(definition.id),
        name=definition.name,
        runtime=definition.evaluation_type,
        output_type=definition.output_type,
        allows_na=config.allows_na,
        version=definition.version,
        fingerprint=definition.fingerprint,
        minimum=getattr(config, "min", None),
        maximum=getattr(config, "max", None),
    )


class KnownEvaluation:
    """What all runs of one evaluation under one trigger have in common, worked out once.

    Attributes:
        hog: its compiled code; None for a judge.
        key_head, key_tail: of the run key, around the event's uuid.
    """

    __slots__ = ("evaluation", "hog", "id", "key_head", "key_tail", "writer")

    def __init__(
        self, evaluation: CompiledEvaluation, trigger: Trigger, backfill_id: str | None, *, rerun: bool
    ) -> None:
        definition = evaluation.definition
        self.evaluation = evaluation
        self.id = str(definition.id)
        self.hog = evaluation.hog
        self.writer = ResultWriter(result_template(evaluation), trigger, backfill_id)
        self.key_head, self.key_tail = run_key_frame(
            definition.evaluation_type, self.id, backfill_id=backfill_id if rerun else None
        )


class Run(msgspec.Struct, frozen=True, gc=False):
    """One evaluation that is due for one event; `started_at` is ISO-8601."""

    known: KnownEvaluation
    key: str
    condition_id: str
    started_at: str


class EventMatcher:
    """What happens to one event: shared by the live matcher and by replays.

    Args:
        results_topic, tasks_topic: where outputs go.
        dead_letters_topic: for an evaluator that fails by a defect of ours.
        hog_time_limit_s: of one inline run; past it the run moves to the task topic.
        now: aware UTC time, for `started_at`.
        trigger, backfill_id: of the runs; see `processor.events.identity`.
        rerun: whether runs get identities of their own (`backfill_id`) instead of the live run's.
    """

    def __init__(
        self,
        *,
        role: str,
        results_topic: str,
        tasks_topic: str,
        dead_letters_topic: str,
        hog_time_limit_s: float,
        max_message_bytes: int,
        metrics: Metrics,
        failures: HogFailures,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        trigger: Trigger = "live",
        backfill_id: str | None = None,
        rerun: bool = False,
    ) -> None:
        self._role = role
        self._results_topic = results_topic
        self._tasks_topic = tasks_topic
        self._dead_letters_topic = dead_letters_topic
        self._hog_time_limit_s = hog_time_limit_s
        self._max_message_bytes = max_message_bytes
        self._metrics = metrics
        self._failures = failures
        self._now = now
        self._trigger = trigger
        self._backfill_id = backfill_id
        self._rerun = rerun
        self._known: dict[int, KnownEvaluation] = {}
        self._started_at = ""
        self._hog_seconds: list[float] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def begin_batch(self) -> None:
        """Take the time at which the runs of the events that follow start; without it each event's is taken."""
        self._started_at = self._moment()

    def _moment(self) -> str:
        return self._now().isoformat(timespec="microseconds")

    def take(self, message: Any, snapshot: Snapshot, outputs: list[Output]) -> None:
        """Work through one event message: skip, match, run or hand on.

        Raises:
            RowError: it is no event row, or its properties cannot be decoded.
            EventTooLarge: it is over `MAX_EVENT_BYTES`.
        """
        counts = self.counts
        value = message.value()
        if value is None:
            counts["skipped", "tombstone"] += 1
            return
        headers = message.headers()
        track = _track(headers) if headers else None
        if track is None:
            if _MARK not in value:
                counts["skipped", "other_event"] += 1
                return
        elif track != _TRACK:
            counts["skipped", "other_track"] += 1
            return
        if len(value) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"the event has {len(value)} bytes; the limit is {MAX_EVENT_BYTES}")
        row = decode_row(value)
        if row.event != GENERATION_EVENT:
            counts["skipped", "other_event"] += 1
            return
        team = snapshot.teams.get(row.team_id)
        if team is None:
            counts["skipped", "team_without_evaluations"] += 1
            return
        result = team.matcher.match(row)
        for index, detail in result.errors:
            counts["outcome", "error"] += 1
            self._log_error(str(team.evaluations[index].definition.id), row.uuid, detail)
        sampled_out = result.sampled_out.count
        if sampled_out:
            counts["outcome", "sampled_out"] += sampled_out
        matched = result.matched
        if matched:
            counts["outcome", "matched"] += len(matched)
            self._runs(row, result.properties, message, team, matched, outputs)
        counts["outcome", "filtered"] += team.enabled - len(matched) - sampled_out - len(result.errors)

    def _log_error(self, evaluation_id: str, event_uuid: str, detail: str) -> None:
        structlog.get_logger("gavel.matcher").warning(
            "condition_error", evaluation_id=evaluation_id, event_uuid=event_uuid, error=detail
        )

    def _runs(
        self,
        row: EventRow,
        view: Any,
        message: Any,
        team: TeamSnapshot,
        matched: list[tuple[int, str]],
        outputs: list[Output],
    ) -> None:
        """Make or hand on the runs of `matched` (index of the evaluation, condition id) over one event.

        Raises:
            RowError: the event's properties cannot be decoded.
        """
        generation = lazy_generation(row, view)
        if JUDGE_MARK in generation.properties:
            self.counts["not_made", "judge_call"] += len(matched)
            return
        started_at = self._started_at or self._moment()
        shared = GenerationGlobals(generation)
        before = len(outputs)
        try:
            for index, condition_id in matched:
                evaluation = team.evaluations[index]
                known = self._known.get(id(evaluation))
                if known is None or known.evaluation is not evaluation:
                    known = self._learn(evaluation)
                run = Run(known, f"{known.key_head}{row.uuid}{known.key_tail}", condition_id, started_at)
                if known.hog is None:
                    self._hand_on(run, row, message, outputs)
                else:
                    self._run_hog(known.hog, run, row, shared, message, outputs)
        except RowError:
            del outputs[before:]  # the event becomes a dead letter as a whole, and redriven it runs as a whole
            raise

    def _learn(self, evaluation: CompiledEvaluation) -> KnownEvaluation:
        if len(self._known) > 100_000:
            self._known.clear()  # of snapshots long gone
        known = KnownEvaluation(evaluation, self._trigger, self._backfill_id, rerun=self._rerun)
        self._known[id(evaluation)] = known
        return known

    def _task(self, run: Run, row: EventRow) -> Task:
        return Task(
            row.team_id,
            run.known.id,
            row.uuid,
            run.key,
            run.condition_id,
            run.started_at,
            self._trigger,
            self._backfill_id,
        )

    def _hand_on(self, run: Run, row: EventRow, message: Any, outputs: list[Output]) -> None:
        self.counts["task", "llm_judge" if run.known.hog is None else "hog"] += 1
        task = self._task(run, row)
        outputs.append(Output(self._tasks_topic, task.key(), message.value(), task.headers()))

    def _run_hog(
        self,
        hog: HogEvaluator,
        run: Run,
        row: EventRow,
        shared: GenerationGlobals,
        message: Any,
        outputs: list[Output],
    ) -> None:
        """Run an evaluator in line. `shared`: the event's globals, one for all of its evaluators."""
        generation, known = shared.generation, run.known
        started = perf_counter()
        try:
            outcome = hog.evaluate(generation, time_limit_s=self._hog_time_limit_s, shared=shared)
        except HogTimeExceeded:
            self._hand_on(run, row, message, outputs)
            return
        except RowError:
            raise
        except Exception as error:  # noqa: BLE001  # a defect of ours: one run's dead letter, not the end of the stream
            outputs.append(self._bug(self._task(run, row), message, error))
            return
        self._hog_seconds.append(perf_counter() - started)
        self._failures.note(known.evaluation.definition, outcome)
        result = known.writer.write(run.key, run.condition_id, run.started_at, row, generation, outcome)
        self.counts["result", outcome_label(outcome)] += 1
        outputs.append(Output(self._results_topic, result.key, result.value, result.headers))

    def _bug(self, task: Task, message: Any, error: Exception) -> Output:
        structlog.get_logger("gavel.matcher").error(
            "evaluator_bug", evaluation_id=task.evaluation_id, event_uuid=task.event_uuid, error=type(error).__name__
        )
        self.counts["dead_letter", "evaluator_bug"] += 1
        # Redriven to the task topic: only this evaluation runs again, not all of the event's.
        extra = [("gavel.error.redrive_topic", self._tasks_topic.encode()), *task.headers()]
        return dead_letter(
            self._dead_letters_topic,
            message,
            stage=self._role,
            reason="evaluator_bug",
            detail=f"{type(error).__name__} in evaluation {task.evaluation_id}",
            max_bytes=self._max_message_bytes,
            extra=extra,
        )

    def flush_counts(self) -> None:
        """Add what was counted since the last call to the metrics."""
        self._metrics.observe_all("gavel_hog_seconds", self._hog_seconds, role=self._role)
        self._hog_seconds.clear()
        for (kind, label), amount in self.counts.items():
            if kind == "task":
                self._metrics.count("gavel_tasks", amount, runtime=label, trigger=self._trigger)
            elif kind == "result":
                self._metrics.count("gavel_results", amount, role=self._role, runtime="hog", outcome=label)
            elif kind == "not_made":
                self._metrics.count("gavel_runs_not_made", amount, role=self._role, reason=label)
            elif kind == "dead_letter":
                self._metrics.count("gavel_dead_letters", amount, role=self._role, reason=label)
            elif kind == "skipped":
                self._metrics.count("gavel_records_skipped", amount, role=self._role, reason=label)
            else:
                self._metrics.count("gavel_evaluation_outcomes", amount, outcome=label)
        self.counts.clear()


class MatcherWorker(Worker):
    """Matches batches of event messages.

    Args:
        snapshots: definitions; without a first snapshot the role is not ready and consumes nothing.
        events: what happens to an event that matched.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        events: EventMatcher,
        *,
        dead_letters_topic: str,
        max_message_bytes: int,
        guard: RatioGuard,
    ) -> None:
        self._snapshots = snapshots
        self._events = events
        self._dead_letters_topic = dead_letters_topic
        self._max_message_bytes = max_message_bytes
        self._guard = guard
        self._finished: list[tuple[Span, list[Output]]] = []

    def ready(self) -> bool:
        """Whether definitions were ever loaded."""
        return self._snapshots.current is not None

    def submit(self, spans: list[Span]) -> None:
        """Work through all records of `spans` at once."""
        snapshot = self._snapshots.current
        if snapshot is None:
            raise RuntimeError("the matcher was started without definitions")
        self._events.begin_batch()
        for span in spans:
            outputs: list[Output] = []
            failed = 0
            for message in span.messages:
                try:
                    self._events.take(message, snapshot, outputs)
                except RowError as error:
                    failed += 1
                    outputs.append(self._dead(message, "decode", str(error)))
                except EventTooLarge as error:
                    failed += 1
                    outputs.append(self._dead(message, "too_large", str(error)))
            self._guard.note(len(span.messages), failed)
            self._finished.append((span, outputs))
        self._events.flush_counts()

    def _dead(self, message: Any, reason: Reason, detail: str) -> Output:
        self._events.counts["dead_letter", reason] += 1
        return dead_letter(
            self._dead_letters_topic,
            message,
            stage="matcher",
            reason=reason,
            detail=detail,
            max_bytes=self._max_message_bytes,
        )

    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        """Return the spans of the last `submit`."""
        finished, self._finished = self._finished, []
        return finished

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Forget what was not collected."""
        if sources is None:
            self._finished.clear()
            return
        gone = set(sources)
        self._finished = [pair for pair in self._finished if pair[0].source not in gone]


def _track(headers: list[tuple[str, bytes | None]]) -> bytes | None:
    for name, value in headers:
        if name == _TRACK_HEADER:
            return value or b""
    return None
