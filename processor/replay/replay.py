"""Replays: a stretch of the past, matched and judged again by the code that runs live.

Ids follow from event and definition, so a replay that asks for no rerun answers only what is missing: what
ClickHouse already has is left out before anything is sent. Each batch is one Kafka transaction of outputs and
the replay's place, with which its counters are kept: a replay that was killed counts nothing twice and loses
no count. While a batch is on its way to the broker, the next is worked through.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from conditions import RowError
from processor.dead_letters.letter import REDRIVE_TOPIC
from processor.events.identity import result_uuid
from processor.events.message import Message
from processor.events.output import Output
from processor.events.task import read_task
from processor.matcher.event_matcher import EventMatcher
from processor.replay.sources import ReplayError, ReplaySource
from processor.stream.deadline import Deadline
from processor.stream.transactions import CommitAborted, CommitFailed, PendingCommit, Transactions
from storage.snapshot import Snapshot, TeamSnapshot, compile_team
from storage.sql.changes import TeamDefinitions

_COMMIT_S = 60.0
_SLOW_READ_S = 1.0
"""A batch is made durable before a read that may take longer than this, because nobody polls its commit meanwhile."""
BATCH_RECORDS, _LEAST_RECORDS = 8000, 50
"""Most and least records of a batch. A batch costs a query and a transaction, whatever its size."""
_LONG_BATCH_S = 5.0
"""If the runs of a batch take longer, the next is smaller: it is what a crash does over, and reported as a whole."""

_BEAT_S = 0.01
"""Seconds between two polls of a commit; a poll after each event would take a fifth of the time of its runs."""

Existing = Callable[[Mapping[str, Collection[str]]], set[str]]
"""Takes result ids by evaluation, returns those that exist already."""


@dataclass(slots=True)
class ReplayReport:
    """The counts of a replay.

    Attributes:
        read: records, of other events too.
        matched, sampled_out: pairs of event and evaluation.
        evaluated: Hog results written; handed_on: runs given to the judge role.
        skipped: Hog results among them that are skips.
        existing: results that existed already and were left alone.
        failed: events that cannot be read, and defects of evaluators.
        estimated_tokens, estimated_cost_usd: of the runs given to the judge role, without the cost of models that
            have no price.
    """

    read: int = 0
    matched: int = 0
    sampled_out: int = 0
    evaluated: int = 0
    handed_on: int = 0
    skipped: int = 0
    existing: int = 0
    failed: int = 0
    estimated_tokens: int = 0
    estimated_cost_usd: float = 0.0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)

    def as_note(self) -> str:
        """Return the figures as the text that is committed with a place."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_note(cls, note: str) -> ReplayReport | None:
        """Return the figures of a note; None if it is empty."""
        return cls(**json.loads(note)) if note else None


def restrict(snapshot: Snapshot, *, teams: Collection[int] = (), evaluations: Collection[str] = ()) -> Snapshot:
    """Return `snapshot` with only these teams and evaluations; empty takes all.

    An evaluation that is named runs even if it is not enabled now: it was asked for.

    Raises:
        ReplayError: a name that is not there.
    """
    kept: dict[int, TeamSnapshot] = {}
    found: set[str] = set()
    for team_id, team in snapshot.teams.items():
        if teams and team_id not in teams:
            continue
        if not evaluations:
            kept[team_id] = team
            continue
        chosen = [each.definition for each in team.evaluations if each.definition.id in evaluations]
        if not chosen:
            continue
        found.update(definition.id for definition in chosen)
        enabled = tuple(definition.model_copy(update={"enabled": True}) for definition in chosen)
        kept[team_id], broken = compile_team(team_id, TeamDefinitions(enabled, {}))
        if broken:
            raise ReplayError(f"evaluation {broken[0].evaluation_id} cannot be run: {broken[0].problem}")
    missing = [name for name in evaluations if name not in found]
    if missing:
        raise ReplayError(f"there is no evaluation {missing[0]}; `gavel evaluations list` shows them")
    return Snapshot(snapshot.revision, kept)


class ReplaySender:
    """Writes a batch's outputs and the replay's place in one transaction.

    Make it before the source reads its place: it fences whoever had the replay before and ends the transaction
    that a killed process left open. A place that is read earlier can be moved by that transaction, or cannot be
    read until the broker gives the transaction up.

    Args:
        configuration: of a producer whose `transactional.id` is the replay's own: a second process with the
            same replay fences the first.
        consumer: of the replay's group.
    """

    def __init__(self, configuration: dict[str, Any], consumer: Consumer) -> None:
        self._consumer = consumer
        with _resumable():
            self._transactions = Transactions(configuration, start_timeout_s=_COMMIT_S)

    def begin(self, outputs: list[Output], place: list[TopicPartition]) -> PendingCommit:
        """Begin to make `outputs` and the source's place durable together. One at a time; ends within 60 s.

        Returns:
            The commit in progress. It raises CommitAborted and CommitFailed; see `Replay.settle`.

        Raises:
            ReplayError: they are not durable; the replay can be resumed.
        """
        with _resumable():
            return self._transactions.send(
                outputs, place, self._consumer.consumer_group_metadata(), Deadline(_COMMIT_S)
            )


class Replay:
    """One replay, a batch at a time.

    Attributes:
        report, cursor: what is durable: the figures, and the source's place behind it.

    Args:
        events: with the trigger and identity that the replay asks for.
        existing: which results are there; None takes none to be (a rerun).
        sender: None for a dry run, which matches, estimates and writes nothing.
        estimate: tokens and cost of one run of a judge, by evaluation id and message; None leaves them at 0.
        rate: records per second at the most.
    """

    def __init__(
        self,
        source: ReplaySource,
        snapshot: Snapshot,
        events: EventMatcher,
        *,
        existing: Existing | None,
        sender: ReplaySender | None,
        estimate: Callable[[Output], tuple[int, float | None]] | None = None,
        rate: float | None = None,
        report: ReplayReport | None = None,
    ) -> None:
        self._source = source
        self._snapshot = snapshot
        self._events = events
        self._existing = existing
        self._sender = sender
        self._estimate = estimate
        self._rate = rate
        self.report = report or ReplayReport()
        self.cursor = source.cursor
        self._latest = self.report
        self._sent: tuple[PendingCommit, ReplayReport, str] | None = None
        self._slow_source = False
        self._records = BATCH_RECORDS
        self._next_beat_s = 0.0
        self._started_s = monotonic()
        self._read_before = self.report.read
        self._seconds_before = self.report.seconds

    def step(self, pulse: Callable[[], None] | None = None) -> bool:
        """Work through one batch and send it. Returns False when nothing is left and all is durable.

        Args:
            pulse: called now and then, between events too, which may take seconds each. An exception from it
                ends the replay: the batch is not sent, and a resumed replay repeats it.

        Raises:
            ReplayError: this batch or the one before is not durable; a resumed replay makes it again.
        """
        records = self._records if self._rate is None else max(1, min(self._records, int(self._rate)))
        if self._slow_source:
            self.settle()
        began_s = monotonic()
        messages = self._source.read(records)
        self._slow_source = monotonic() - began_s > _SLOW_READ_S
        if not messages:
            self.settle()
            return False
        report = replace(self._latest)  # takes the place of the other once the batch is durable

        def refuse(_message: Message, _error: RowError) -> None:
            report.failed += 1  # the live run has made a dead letter of it

        began_s = monotonic()
        made = self._events.take(messages, self._snapshot, refuse, partial(self._beat, pulse))
        long = monotonic() - began_s > _LONG_BATCH_S  # the runs alone: slow queries want large batches
        self._records = max(_LEAST_RECORDS, self._records // 2) if long else min(BATCH_RECORDS, self._records * 2)
        outputs = self._missing(made, report)
        self._count(len(messages), outputs, report)
        self.settle()
        self._latest = report
        if self._sender is None:
            self.report = report
        else:
            pending = self._sender.begin(outputs, self._source.place(report.as_note()))
            self._sent = pending, report, self._source.cursor
            self._next_beat_s = 0.0
        self._hold_rate()
        return True

    def _beat(self, pulse: Callable[[], None] | None) -> None:
        """Poll the commit in progress, which cannot wait for slow runs because its transaction has a time limit."""
        now_s = monotonic()
        if now_s < self._next_beat_s:
            return
        self._next_beat_s = now_s + _BEAT_S
        if self._sent is not None:
            with _resumable():
                self._sent[0].ended()
        if pulse is not None:
            pulse()

    def settle(self) -> None:
        """Wait until the sent batch is durable.

        Raises:
            ReplayError: it is not.
        """
        if self._sent is None:
            return
        (pending, report, cursor), self._sent = self._sent, None
        with _resumable():
            pending.wait(Deadline(_COMMIT_S))
        self.report, self.cursor = report, cursor

    def leave(self) -> None:
        """Let the commit in progress end in some way before the clients are closed."""
        if self._sent is not None:
            self._sent[0].leave(Deadline(_COMMIT_S))

    def _missing(self, outputs: list[Output], report: ReplayReport) -> list[Output]:
        """Return the outputs whose results do not exist yet, each id once, and the dead letters of whole events."""
        fresh: dict[bytes, Output] = {}
        ids: dict[bytes, list[bytes]] = {}
        events: list[Output] = []
        for output in outputs:
            if _is_whole_event(output):
                events.append(output)
                continue
            identity, evaluation_id = _identity(output)
            if identity not in fresh:
                fresh[identity] = output
                ids.setdefault(evaluation_id, []).append(identity)
        if self._existing and ids:
            asked = {name.decode(): [identity.decode() for identity in each] for name, each in ids.items()}
            for there in self._existing(asked):
                del fresh[there.encode()]
                report.existing += 1
        return [*fresh.values(), *events]

    def _count(self, read: int, outputs: list[Output], report: ReplayReport) -> None:
        counts = self._events.counts
        report.read += read
        report.matched += counts["outcome", "matched"]
        report.sampled_out += counts["outcome", "sampled_out"]
        report.failed += counts["outcome", "error"] + counts["dead_letter", "evaluator_bug"]
        kinds = Counter(output.kind for output in outputs)
        report.evaluated += kinds["result"] + kinds["skip"]
        report.skipped += kinds["skip"]
        report.handed_on += kinds["task"]
        if self._estimate is not None and kinds["task"]:
            for output in outputs:
                if output.kind == "task":
                    tokens, cost = self._estimate(output)
                    report.estimated_tokens += tokens
                    report.estimated_cost_usd += cost or 0.0
        self._events.flush_counts()
        report.seconds = self._seconds_before + monotonic() - self._started_s

    def _hold_rate(self) -> None:
        if self._rate is None:
            return
        due_s = (self._latest.read - self._read_before) / self._rate
        ahead_s = due_s - (monotonic() - self._started_s)
        if ahead_s > 0:
            self.settle()
            sleep(max(0.0, due_s - (monotonic() - self._started_s)))


@contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except (CommitAborted, CommitFailed) as error:
        raise ReplayError(f"Kafka did not take a batch: {error}; resume the replay to go on") from error


def _is_whole_event(output: Output) -> bool:
    """Whether an output is the dead letter of an event, which leads to no result, and not the one of a run."""
    return output.kind == "dead_letter" and REDRIVE_TOPIC not in dict(output.headers)


def _identity(output: Output) -> tuple[bytes, bytes]:
    """Return the id of the result that an output is or leads to, and its evaluation's."""
    headers: Any = output.headers
    if output.kind in ("result", "skip"):
        return headers[0][1], headers[1][1]  # `ResultWriter` writes these two first
    task = read_task(headers)
    return result_uuid(task.run_key).encode(), task.evaluation_id.encode()
