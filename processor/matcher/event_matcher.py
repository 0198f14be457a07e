"""The matching of events: select the evaluations that run, run Hog inline, and make tasks for the judges.

Live and replay run through `EventMatcher`; they and previews decide with the same `conditions.Matcher`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import TypeVar

import msgspec
import structlog

from conditions import NOTHING, UNUSUAL, EventRow, MatchResult, RowError, decode_usual_row
from evaluators.generation import JUDGE_MARK
from evaluators.hog import GenerationGlobals, HogEvaluator, HogTimeExceeded
from evaluators.verdict import Skip, Verdict
from processor.dead_letters.letter import REDRIVE_TOPIC, Reason, dead_letter, raised_at
from processor.events.generation import GENERATION_EVENT, copied, lazy_generation
from processor.events.message import Message, any_headers, record_time_ms
from processor.events.output import Output
from processor.events.result import EventFields, outcome_label
from processor.events.row import MAX_EVENT_BYTES, ROOM_BYTES, read_event
from processor.events.task import Task, match_task
from processor.hog_failures import HogFailures
from processor.matcher.budget import TeamBudget
from processor.matcher.counts import write_counts, write_results
from processor.matcher.known import KnownEvaluation, KnownEvaluations, RunOrigin
from processor.matcher.timing import EventTimes
from processor.metrics import Metrics
from processor.result_latency import ResultLatency
from processor.tracing.queue import TraceQueue
from storage.snapshot import Snapshot, TeamSnapshot

_MARK = GENERATION_EVENT.encode()
_HEAD_BYTES = 256
"""The name of an event usually stands within so many bytes. To search them takes no preparation, which `in` makes for
any value of 2,500 bytes or more, and which takes longer than the search."""
_TOGETHER = 64
"""Events that go from step to step together: their data fits into the second cache of a processor."""
_TOGETHER_BYTES = 2 * 1024 * 1024
"""A portion above this size goes event by event, because each event is held several times while it is worked on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """Where outputs go.

    Attributes:
        results, tasks, dead_letters: topics.
        max_message_bytes: the largest message that is produced.
    """

    results: str
    tasks: str
    dead_letters: str
    max_message_bytes: int


class FinishedRun(msgspec.Struct, frozen=True, gc=False):
    """One evaluation of one event that was made; `key` is its identity (`processor.events.identity`)."""

    known: KnownEvaluation
    key: str
    condition_id: str
    message: Message
    row: EventRow
    fields: EventFields
    outcome: Verdict | Skip


_T = TypeVar("_T")
Decoded = tuple[Message, EventRow]
"""A message and its row."""
Matched = tuple[Message, EventRow, TeamSnapshot, MatchResult]
"""A message that evaluations are to run for."""
Refuse = Callable[[Message, RowError], Output | None]
"""Takes a message that cannot be read; the output that it returns replaces all outputs of the message."""


@dataclass(frozen=True, slots=True)
class InlineHog:
    """How Hog code runs in the matcher.

    Attributes:
        time_limit_s: for one run; past it the run moves to the task topic.
        failures: counts the outcome of each run.
        budget: seconds per team and batch; unlimited unless it is given.
    """

    time_limit_s: float
    failures: HogFailures
    budget: TeamBudget = field(default_factory=TeamBudget)


class EventMatcher:
    """Works through events: shared by the live matcher and by replays. Belongs to one thread.

    Some events are worked through together, step by step: all are decoded, then all are matched, then all runs are
    made, then all results are written. A step that is repeated finds its code and tables in the processor's caches;
    event by event the same work takes a third longer.

    An exception in any step is a defect of ours. It costs the run or the event that it happened in, which becomes a
    dead letter, and never the stream.

    Args:
        role: the label of metrics and dead letters.
        now: aware UTC time, for `started_at`.
        judge_historical: whether events that a client marked as a migration of its history are judged.
        traces: decides which results are exemplars of their latency; None if nothing is traced.
    """

    def __init__(
        self,
        role: str,
        to: Destinations,
        *,
        inline: InlineHog,
        metrics: Metrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        origin: RunOrigin = RunOrigin(),  # frozen
        judge_historical: bool = True,
        traces: TraceQueue | None = None,
    ) -> None:
        self._role = role
        self._to = to
        self._limit_bytes = to.max_message_bytes - ROOM_BYTES
        self._hog_time_limit_s = inline.time_limit_s
        self._metrics = metrics
        self._failures = inline.failures
        self._budget = inline.budget
        self._now = now
        self._origin = origin
        self._known = KnownEvaluations(origin)
        self._judge_historical = judge_historical
        self._started_at = ""
        self._hog_seconds: list[float] = []
        self._times = EventTimes()
        self._latency = ResultLatency(metrics, role, traces)
        self._results: Counter[tuple[int, str, str]] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()

    def begin_batch(self) -> None:
        """Give every team its whole budget of time again."""
        self._budget.begin()

    def take(
        self, messages: Sequence[Message], snapshot: Snapshot, refuse: Refuse, pulse: Callable[[], None] | None = None
    ) -> list[Output]:
        """Work through event messages: skip, match, run or enqueue.

        Args:
            refuse: called for each message that is not a valid row, whose properties cannot be decoded, or that is
                too large. Such an event gives no other output.
            pulse: called every `_TOGETHER` events, and before the runs of each, which may take seconds. An exception
                that it raises is not caught.

        Returns:
            The outputs in the order of the messages.
        """
        self._started_at = self._now().isoformat(timespec="microseconds")
        outputs: list[Output] = []
        if messages:
            self._times.arrive(record_time_ms(messages[0]))
        for portion in _portions(messages):
            if pulse is not None:
                pulse()
            decoded = self._decode(portion, refuse)
            for kind in self._times.odd([each[1] for each in decoded if type(each) is not Output]):
                self.counts["out_of_time", kind] += 1
            matched = self._match(decoded, snapshot, refuse)
            self._write(self._evaluate(matched, refuse, pulse), outputs)
        return outputs

    def _decode(self, messages: Sequence[Message], refuse: Refuse) -> list[Decoded | Output]:
        """Return the rows of generation events; records of other kinds are counted."""
        found: list[Decoded | Output] = []
        limit_bytes = min(MAX_EVENT_BYTES, self._limit_bytes)
        plain = not any_headers(messages)
        for message in messages:
            try:
                value = message.value()
                # The usual record, without a call of ours. `read_event` decides about all others, and these too.
                if plain and value and value.find(_MARK, 0, _HEAD_BYTES) > 0 and len(value) <= limit_bytes:
                    try:
                        row = decode_usual_row(value)
                        if row.event == GENERATION_EVENT and row.uuid:
                            found.append((message, row))
                            continue
                    except UNUSUAL:
                        pass
                read = read_event(message, limit_bytes, history=self._judge_historical)
            except RowError as error:
                _add(found, refuse(message, error))
            except Exception as error:  # noqa: BLE001  # see the class
                found.append(self._defect(message, error))
            else:
                if isinstance(read, EventRow):
                    found.append((message, read))
                else:
                    self.counts["skipped", read] += 1
        return found

    def _match(self, decoded: list[Decoded | Output], snapshot: Snapshot, refuse: Refuse) -> list[Matched | Output]:
        """Return the events that evaluations are to run for; those that did not match are counted."""
        counts, teams, budget = self.counts, snapshot.teams, self._budget
        found: list[Matched | Output] = []
        team_id, team = None, None
        matched = sampled_out = errors = filtered = 0
        since_s = until_s = 0.0
        late = False
        for each in decoded:
            if type(each) is Output:
                found.append(each)
                continue
            message, row = each
            if row.team_id != team_id:
                now_s = perf_counter()
                if team_id is not None:
                    budget.matched(team_id, now_s - since_s)
                team_id = row.team_id
                team = teams.get(team_id)
                since_s, until_s = now_s, now_s + budget.left_to_match_s(team_id)
                late = until_s <= now_s
            if team is None:
                counts["skipped", "team_without_evaluations"] += 1
                continue
            if late:
                found.append(self._match_elsewhere(message, row))
                continue
            try:
                result = team.matcher.match(row)
            except RowError as error:
                _add(found, refuse(message, error))
                late = perf_counter() >= until_s
                continue
            except Exception as error:  # noqa: BLE001  # see the class
                found.append(self._defect(message, error))
                late = perf_counter() >= until_s
                continue
            if result is NOTHING:  # look-ups alone found it, and a portion bounds their time
                filtered += team.enabled
                continue
            late = perf_counter() >= until_s
            hit, out = len(result.matched), result.sampled_out.count
            matched += hit
            sampled_out += out
            filtered += team.enabled - hit - out
            if result.errors:
                errors += len(result.errors)
                filtered -= len(result.errors)
                _log_errors(team, row, result)
            if hit:
                found.append((message, row, team, result))
        if team_id is not None:
            budget.matched(team_id, perf_counter() - since_s)
        counts["outcome", "matched"] += matched
        counts["outcome", "sampled_out"] += sampled_out
        counts["outcome", "error"] += errors
        counts["outcome", "filtered"] += filtered
        return found

    def _match_elsewhere(self, message: Message, row: EventRow) -> Output:
        self.counts["moved", "match"] += 1
        task = match_task(row.team_id, row.uuid, self._started_at)
        return Output("task", self._to.tasks, task.key(), message.value(), task.headers())

    def _evaluate(
        self, events: list[Matched | Output], refuse: Refuse, pulse: Callable[[], None] | None
    ) -> list[FinishedRun | Output]:
        """Make the runs that can be made here, and enqueue the others."""
        done: list[FinishedRun | Output] = []
        for each in events:
            if type(each) is Output:
                done.append(each)
                continue
            message = each[0]
            if pulse is not None:
                pulse()
            before = len(done)
            try:
                self._run_all(each, done)
            except RowError as error:
                del done[before:]  # the event becomes a dead letter as a whole, and redriven it runs as a whole
                _add(done, refuse(message, error))
            except Exception as error:  # noqa: BLE001  # see the class
                del done[before:]
                done.append(self._defect(message, error))
        return done

    def _run_all(self, event: Matched, done: list[FinishedRun | Output]) -> None:
        """Append the runs of one event."""
        message, row, team, result = event
        generation = lazy_generation(row, result.properties)
        if JUDGE_MARK in generation.properties:
            self.counts["not_made", "judge_call"] += len(result.matched)
            return
        copied(generation.properties)  # kept, and fails here rather than when a result is written
        shared, fields = GenerationGlobals(generation), EventFields(row, generation)
        used_s, left_s = 0.0, self._budget.left_to_run_s(row.team_id)
        try:
            for index, condition_id in result.matched:
                known = self._known.of(team.evaluations[index])
                key = f"{known.key_head}{row.uuid}{known.key_tail}"
                if known.hog is None:
                    done.append(self._hand_on(self._task(known, key, condition_id, row), message, "llm_judge"))
                elif used_s >= left_s:
                    self.counts["moved", "hog"] += 1
                    done.append(self._hand_on(self._task(known, key, condition_id, row), message, "hog"))
                else:
                    began_s = perf_counter()
                    run = self._run_hog(known, known.hog, key, condition_id, row, shared, fields, message)
                    took_s = perf_counter() - began_s
                    used_s += took_s
                    if type(run) is FinishedRun:
                        self._hog_seconds.append(took_s)
                    done.append(run)
        finally:
            self._budget.ran(row.team_id, used_s)

    def _task(self, known: KnownEvaluation, key: str, condition_id: str, row: EventRow) -> Task:
        origin, definition = self._origin, known.evaluation.definition
        return Task(
            row.team_id,
            known.id,
            row.uuid,
            key,
            condition_id,
            self._started_at,
            origin.trigger,
            origin.backfill_id,
            revision=definition.revision,
            version=definition.version,
        )

    def _hand_on(self, task: Task, message: Message, runtime: str) -> Output:
        self.counts["task", runtime] += 1
        return Output("task", self._to.tasks, task.key(), message.value(), task.headers())

    def _run_hog(
        self,
        known: KnownEvaluation,
        hog: HogEvaluator,
        key: str,
        condition_id: str,
        row: EventRow,
        shared: GenerationGlobals,
        fields: EventFields,
        message: Message,
    ) -> FinishedRun | Output:
        """Run an evaluator in line. `shared` and `fields` are one for all evaluators of the event."""
        try:
            outcome = hog.evaluate(fields.generation, time_limit_s=self._hog_time_limit_s, shared=shared)
        except HogTimeExceeded:
            return self._hand_on(self._task(known, key, condition_id, row), message, "hog")
        except RowError:
            raise
        except Exception as error:  # noqa: BLE001  # a defect of ours: one run's dead letter, not the end of the stream
            return self._defect(message, error, self._task(known, key, condition_id, row))
        self._failures.note(known.evaluation.definition, outcome)
        return FinishedRun(known, key, condition_id, message, row, fields, outcome)

    def _write(self, done: list[FinishedRun | Output], outputs: list[Output]) -> None:
        """Append the results of runs, and finished outputs."""
        topic, started_at, limit_bytes = self._to.results, self._started_at, self._limit_bytes
        results, newest, newest_id = self._results, None, ""
        for each in done:
            if type(each) is Output:
                outputs.append(each)
                continue
            outcome = each.outcome
            try:
                result = each.known.writer.write(each.key, each.condition_id, started_at, each.fields, outcome)
            except Exception as error:  # noqa: BLE001  # see the class
                task = self._task(each.known, each.key, each.condition_id, each.row)
                outputs.append(self._defect(each.message, error, task))
                continue
            if len(result.value) > limit_bytes:
                outputs.append(self._too_large(each, len(result.value)))
                continue
            results[each.row.team_id, each.known.id, outcome_label(outcome)] += 1
            newest, newest_id = each, result.uuid
            outputs.append(result.output(topic))
        if newest is not None and self._origin.trigger == "live":
            # One result of each portion: at high rates a sample, at low rates nearly all.
            generation = newest.fields.generation
            self._latency.note(generation.timestamp, self._now(), newest_id, generation.properties)

    def _too_large(self, run: FinishedRun, size_bytes: int) -> Output:
        task = self._task(run.known, run.key, run.condition_id, run.row)
        what = f"the result of evaluation {task.evaluation_id}"
        detail = f"{what} has {size_bytes} bytes; the limit is {self._limit_bytes}"
        return self._dead_letter(run.message, "too_large", detail, task)

    def _defect(self, message: Message, error: Exception, task: Task | None = None) -> Output:
        """Return the dead letter of an exception of ours, for one run or (without a task) for the event as a whole."""
        evaluation_id = "" if task is None else task.evaluation_id
        structlog.get_logger("gavel.matcher").error(
            "evaluator_bug",
            evaluation_id=evaluation_id,
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            error=type(error).__name__,
            where=raised_at(error),
        )
        detail = f"{type(error).__name__} in " + (f"evaluation {evaluation_id}" if task else "an event")
        return self._dead_letter(message, "evaluator_bug", detail, task)

    def _dead_letter(self, message: Message, reason: Reason, detail: str, task: Task | None) -> Output:
        self.counts["dead_letter", reason] += 1
        # Redriven to the task topic: only this evaluation runs again, not all of the event's.
        extra = [] if task is None else [(REDRIVE_TOPIC, self._to.tasks.encode()), *task.headers()]
        return dead_letter(
            self._to.dead_letters,
            message,
            stage=self._role,
            reason=reason,
            detail=detail,
            max_bytes=self._to.max_message_bytes,
            extra=extra,
        )

    def flush_counts(self) -> None:
        """Add the counts since the last call to the metrics."""
        metrics, role = self._metrics, self._role
        metrics.observe_all("gavel_hog_seconds", self._hog_seconds, role=role)
        self._hog_seconds.clear()
        self._latency.flush()
        write_results(self._results, metrics, role)
        self._results.clear()
        write_counts(self.counts, metrics, role, self._origin.trigger)
        self.counts.clear()


def _portions(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Yield what goes from step to step together."""
    for first in range(0, len(messages), _TOGETHER):
        portion = messages[first : first + _TOGETHER]
        if sum(map(len, portion)) <= _TOGETHER_BYTES:
            yield portion
        else:
            for message in portion:
                yield [message]


def _log_errors(team: TeamSnapshot, row: EventRow, result: MatchResult) -> None:
    for index, detail in result.errors:
        structlog.get_logger("gavel.matcher").warning(
            "condition_error",
            evaluation_id=str(team.evaluations[index].definition.id),
            event_uuid=row.uuid,
            error=detail,
        )


def _add(found: list[_T], output: _T | None) -> None:
    if output is not None:
        found.append(output)
