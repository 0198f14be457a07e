"""What becomes of events: which evaluations run, Hog in line, the rest handed to judges.

Live and replay run through `EventMatcher`; they and previews decide with the same `conditions.Matcher`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import msgspec
import structlog

from conditions import NOTHING, EventRow, MatchResult, RowError, decode_row
from config.snapshot import CompiledEvaluation, Snapshot, TeamSnapshot
from evaluators.generation import JUDGE_MARK, Generation
from evaluators.hog import GenerationGlobals, HogEvaluator, HogTimeExceeded
from evaluators.verdict import Skip, Verdict
from processor.dead_letters import dead_letter
from processor.events.generation import GENERATION_EVENT, copied, lazy_generation
from processor.events.identity import Trigger, run_key_frame
from processor.events.result import ResultTemplate, ResultWriter
from processor.events.task import Task
from processor.hog_status import HogFailures
from processor.ledger import Output
from processor.metrics import Metrics

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Larger events are dead letters: a task or a result must fit into a message with room for headers."""

_TOGETHER = 64
"""Events that go from step to step together: what they hold fits into a processor's second cache."""
_TOGETHER_BYTES = 2 * 1024 * 1024
"""More than that goes one by one: each is held several times over while it is worked on."""
_MARK = GENERATION_EVENT.encode()
_TRACK_HEADER, _TRACK = "productTrack", b"llma"


class EventTooLarge(Exception):
    """An event over the limit of spec and settings."""


VERDICTS = ("pass", "fail", "scored", "not_applicable")
"""Labels of runs that gave a verdict; those of all others are the reasons of skips."""


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
    """One evaluation of one event that was made; `key` is its identity (`processor.events.identity`)."""

    known: KnownEvaluation
    key: str
    condition_id: str
    row: EventRow
    generation: Generation
    outcome: Verdict | Skip


Decoded = tuple[Any, EventRow]
"""A message and its row."""
Matched = tuple[Any, EventRow, TeamSnapshot, MatchResult]
"""A message that evaluations are to run for."""
Unreadable = RowError | EventTooLarge
Refuse = Callable[[Any, Unreadable], Output | None]
"""Takes a message that cannot be read; what it returns stands in the place of the message's outputs."""


class EventMatcher:
    """What happens to events: shared by the live matcher and by replays.

    Some events are worked through together, step by step: all are decoded, then all are matched, then all runs are
    made, then all results are written. A step that is repeated finds its code and tables in the processor's caches;
    event by event the same work takes a third longer.

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

    def take(
        self, messages: Sequence[Any], snapshot: Snapshot, refuse: Refuse, pulse: Callable[[], None] | None = None
    ) -> list[Output]:
        """Work through event messages: skip, match, run or hand on.

        Args:
            refuse: called for each that is no event row, whose properties cannot be decoded, or that is over
                `MAX_EVENT_BYTES`. Such an event gives no other output.
            pulse: called every `_TOGETHER` events, and before the runs of each, which may take seconds.

        Returns:
            The outputs in the order of the messages.
        """
        self._started_at = self._now().isoformat(timespec="microseconds")
        outputs: list[Output] = []
        for portion in _portions(messages):
            if pulse is not None:
                pulse()
            decoded = self._decode(portion, refuse)
            matched = self._match(decoded, snapshot, refuse)
            self._write(self._evaluate(matched, refuse, pulse), outputs)
        return outputs

    def _decode(self, messages: Sequence[Any], refuse: Refuse) -> list[Decoded | Output]:
        """Return the rows of generation events; what is of another kind is counted."""
        counts = self.counts
        found: list[Decoded | Output] = []
        for message in messages:
            value = message.value()
            if value is None:
                counts["skipped", "tombstone"] += 1
                continue
            headers = message.headers()
            track = _track(headers) if headers else None
            if track is None:
                if _MARK not in value:
                    counts["skipped", "other_event"] += 1
                    continue
            elif track != _TRACK:
                counts["skipped", "other_track"] += 1
                continue
            try:
                if len(value) > MAX_EVENT_BYTES:
                    raise EventTooLarge(f"the event has {len(value)} bytes; the limit is {MAX_EVENT_BYTES}")
                row = decode_row(value)
            except (RowError, EventTooLarge) as error:
                _add(found, refuse(message, error))
                continue
            if row.event != GENERATION_EVENT:
                counts["skipped", "other_event"] += 1
                continue
            found.append((message, row))
        return found

    def _match(self, decoded: list[Decoded | Output], snapshot: Snapshot, refuse: Refuse) -> list[Matched | Output]:
        """Return the events that evaluations are to run for; those that did not match are counted."""
        counts, teams = self.counts, snapshot.teams
        found: list[Matched | Output] = []
        filtered = 0
        for each in decoded:
            if isinstance(each, Output):
                found.append(each)
                continue
            message, row = each
            team = teams.get(row.team_id)
            if team is None:
                counts["skipped", "team_without_evaluations"] += 1
                continue
            try:
                result = team.matcher.match(row)
            except RowError as error:
                _add(found, refuse(message, error))
                continue
            filtered += team.enabled
            if result is NOTHING:
                continue
            for index, detail in result.errors:
                self._log_error(str(team.evaluations[index].definition.id), row.uuid, detail)
            ran, sampled_out, errors = len(result.matched), result.sampled_out.count, len(result.errors)
            filtered -= ran + sampled_out + errors
            counts["outcome", "sampled_out"] += sampled_out
            counts["outcome", "error"] += errors
            if ran:
                counts["outcome", "matched"] += ran
                found.append((message, row, team, result))
        counts["outcome", "filtered"] += filtered
        return found

    def _log_error(self, evaluation_id: str, event_uuid: str, detail: str) -> None:
        structlog.get_logger("gavel.matcher").warning(
            "condition_error", evaluation_id=evaluation_id, event_uuid=event_uuid, error=detail
        )

    def _evaluate(
        self, events: list[Matched | Output], refuse: Refuse, pulse: Callable[[], None] | None
    ) -> list[Run | Output]:
        """Make the runs that can be made in line, and hand on the others."""
        done: list[Run | Output] = []
        for each in events:
            if isinstance(each, Output):
                done.append(each)
                continue
            message, row, team, result = each
            if pulse is not None:
                pulse()
            before = len(done)
            try:
                generation = lazy_generation(row, result.properties)
                if JUDGE_MARK in generation.properties:
                    self.counts["not_made", "judge_call"] += len(result.matched)
                    continue
                copied(generation.properties)  # kept; what cannot be decoded is found out here, before it is written
                shared = GenerationGlobals(generation)
                for index, condition_id in result.matched:
                    known = self._knowledge(team.evaluations[index])
                    key = f"{known.key_head}{row.uuid}{known.key_tail}"
                    if known.hog is None:
                        done.append(self._hand_on(self._task(known, key, condition_id, row), message, "llm_judge"))
                    else:
                        done.append(self._run_hog(known, known.hog, key, condition_id, row, shared, message))
            except RowError as error:
                del done[before:]  # the event becomes a dead letter as a whole, and redriven it runs as a whole
                _add(done, refuse(message, error))
        return done

    def _knowledge(self, evaluation: CompiledEvaluation) -> KnownEvaluation:
        known = self._known.get(id(evaluation))
        if known is not None and known.evaluation is evaluation:
            return known
        if len(self._known) > 100_000:
            self._known.clear()  # of snapshots long gone
        known = KnownEvaluation(evaluation, self._trigger, self._backfill_id, rerun=self._rerun)
        self._known[id(evaluation)] = known
        return known

    def _task(self, known: KnownEvaluation, key: str, condition_id: str, row: EventRow) -> Task:
        return Task(
            row.team_id, known.id, row.uuid, key, condition_id, self._started_at, self._trigger, self._backfill_id
        )

    def _hand_on(self, task: Task, message: Any, runtime: str) -> Output:
        self.counts["task", runtime] += 1
        return Output(self._tasks_topic, task.key(), message.value(), task.headers())

    def _run_hog(
        self,
        known: KnownEvaluation,
        hog: HogEvaluator,
        key: str,
        condition_id: str,
        row: EventRow,
        shared: GenerationGlobals,
        message: Any,
    ) -> Run | Output:
        """Run an evaluator in line. `shared`: the event's globals, one for all of its evaluators."""
        generation = shared.generation
        started = perf_counter()
        try:
            outcome = hog.evaluate(generation, time_limit_s=self._hog_time_limit_s, shared=shared)
        except HogTimeExceeded:
            return self._hand_on(self._task(known, key, condition_id, row), message, "hog")
        except RowError:
            raise
        except Exception as error:  # noqa: BLE001  # a defect of ours: one run's dead letter, not the end of the stream
            return self._bug(self._task(known, key, condition_id, row), message, error)
        self._hog_seconds.append(perf_counter() - started)
        self._failures.note(known.evaluation.definition, outcome)
        return Run(known, key, condition_id, row, generation, outcome)

    def _write(self, done: list[Run | Output], outputs: list[Output]) -> None:
        """Append the results of runs, and what is an output already."""
        counts, topic, started_at = self.counts, self._results_topic, self._started_at
        for each in done:
            if isinstance(each, Output):
                outputs.append(each)
                continue
            outcome = each.outcome
            result = each.known.writer.write(
                each.key, each.condition_id, started_at, each.row, each.generation, outcome
            )
            counts["result", outcome_label(outcome)] += 1
            outputs.append(Output(topic, result.key, result.value, result.headers))

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


def _track(headers: list[tuple[str, bytes | None]]) -> bytes | None:
    for name, value in headers:
        if name == _TRACK_HEADER:
            return value or b""
    return None


def _portions(messages: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield what goes from step to step together."""
    for first in range(0, len(messages), _TOGETHER):
        portion = messages[first : first + _TOGETHER]
        if sum(map(len, portion)) <= _TOGETHER_BYTES:
            yield portion
        else:
            for message in portion:
                yield [message]


def _add(found: list[Any], output: Output | None) -> None:
    if output is not None:
        found.append(output)
