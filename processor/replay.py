"""Replays: a stretch of the past, matched and judged again by the code that runs live.

Ids follow from event and definition, so a replay that asks for no rerun answers only what is missing: what
ClickHouse already has is left out before anything is sent. Each batch is one Kafka transaction of outputs and
the replay's place, with which its counters are kept: a replay that was killed counts nothing twice and loses
no count. While a batch is on its way to the broker, the next is worked through.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from config.snapshot import Snapshot, TeamSnapshot, compile_team
from config.store.changes import TeamDefinitions
from processor.committer import CommitFailed, FencingProducer, PendingCommit
from processor.deadline import Deadline
from processor.event_matcher import VERDICTS, EventMatcher, Unreadable
from processor.events.identity import result_uuid
from processor.events.result import RESULT_ID_HEADER
from processor.events.task import read_task
from processor.ledger import Output
from processor.replay_sources import ReplayError, ReplaySource

_COMMIT_S = 60.0
_SLOW_READ_S = 1.0
"""Before a read that may take longer what was sent is made durable: meanwhile nobody looks after it."""
BATCH_RECORDS, _LEAST_RECORDS = 8000, 50
"""At the most, since a batch costs a query and a transaction, whatever is in it; and at the least."""
_LONG_BATCH_S = 5.0
"""If the runs of a batch take longer, the next is smaller: it is what a crash does over, and reported as a whole."""

_BEAT_S = 0.01
"""Between two looks at what was sent; one after each event would take a fifth of the time of its runs."""

Existing = Callable[[Mapping[str, Collection[str]]], set[str]]
"""Takes result ids by evaluation, returns those that exist already."""


@dataclass(slots=True)
class ReplayReport:
    """What a replay did.

    Attributes:
        read: records, of other events too.
        matched, sampled_out: pairs of event and evaluation.
        evaluated: Hog results written; handed_on: runs given to the judge role.
        skipped: Hog results among them that are skips.
        existing: results that were there already and were left alone.
        failed: events that cannot be read, and defects of evaluators.
        estimated_tokens, estimated_cost_usd: of what was handed on; the cost of models without a price is
            not in it.
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
        self._fencing = FencingProducer(configuration, self._start)

    @property
    def _producer(self) -> Producer:
        return self._fencing.client

    def _start(self, producer: Producer) -> None:
        self._call(producer.init_transactions, _COMMIT_S)

    def begin(self, outputs: list[Output], place: list[TopicPartition]) -> PendingCommit:
        """Begin to make `outputs` and the source's place durable together. One at a time.

        Returns:
            What goes on as often as it is looked after (`PendingCommit.ended`); it raises ReplayError and CommitFailed.

        Raises:
            ReplayError: they are not; the replay can be resumed.
        """
        self._fencing.renew(self._start)
        self._call(self._producer.begin_transaction)
        for output in outputs:
            while True:
                try:
                    self._producer.produce(output.topic, output.value, output.key, headers=output.headers)
                    break
                except BufferError:
                    self._producer.poll(0.1)
        group = self._consumer.consumer_group_metadata()
        return PendingCommit(self._producer, partial(self._end, place, group), Deadline(_COMMIT_S))

    def _end(self, place: list[TopicPartition], group: Any, deadline: Deadline) -> None:
        self._call(self._producer.send_offsets_to_transaction, place, group, deadline.left_s())
        self._call(self._producer.commit_transaction, deadline.left_s())

    @staticmethod
    def _call(call: Callable[..., None], *arguments: Any) -> None:
        try:
            call(*arguments)
        except KafkaException as error:
            raise ReplayError(f"Kafka refused a batch: {error.args[0].str()}; resume the replay to go on") from error


class Replay:
    """One replay, a batch at a time.

    Attributes:
        report, cursor: what is durable: the figures, and the source's place behind it.

    Args:
        events: with the trigger and identity that the replay asks for.
        existing: which results are there; None takes none to be (a rerun).
        sender: None for a dry run, which matches, estimates and writes nothing.
        estimate: tokens and cost of one run handed on, by evaluation id and message; None leaves them at 0.
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
            pulse: called now and then, between events too, which may take seconds each. What it raises ends the
                replay: the batch is not sent, and a resumed replay makes it again.

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

        def refuse(_message: Any, _error: Unreadable) -> None:
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
        """Look after what was sent, which must not wait for a batch of slow runs: its transaction has a time limit."""
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
        """Wait until what was sent is durable.

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
        """Let what was sent end, however it does, before the clients are closed."""
        if self._sent is not None:
            self._sent[0].leave(Deadline(_COMMIT_S))

    def _missing(self, outputs: list[Output], report: ReplayReport) -> list[Output]:
        """Return the outputs whose results do not exist yet, each id once."""
        fresh: dict[bytes, Output] = {}
        ids: dict[bytes, list[bytes]] = {}
        for output in outputs:
            identity, evaluation_id = _identity(output)
            if identity not in fresh:
                fresh[identity] = output
                ids.setdefault(evaluation_id, []).append(identity)
        if self._existing and ids:
            asked = {name.decode(): [identity.decode() for identity in each] for name, each in ids.items()}
            for there in self._existing(asked):
                del fresh[there.encode()]
                report.existing += 1
        return list(fresh.values())

    def _count(self, read: int, outputs: list[Output], report: ReplayReport) -> None:
        counts = self._events.counts
        report.read += read
        report.matched += counts["outcome", "matched"]
        report.sampled_out += counts["outcome", "sampled_out"]
        report.failed += counts["outcome", "error"] + counts["dead_letter", "evaluator_bug"]
        skips = any(kind == "result" and label not in VERDICTS for kind, label in counts)
        evaluated = skipped = 0
        for output in outputs:
            if output.headers[0][0] == RESULT_ID_HEADER:
                evaluated += 1
                # Values are looked through only if a skip can be among them: it takes as long as a result's id.
                skipped += skips and b"$ai_evaluation_skipped" in (output.value or b"")
                continue
            headers = dict(output.headers)
            if "gavel.task.run_key" in headers and "gavel.error.class" not in headers:
                report.handed_on += 1
                if self._estimate is not None:
                    tokens, cost = self._estimate(output)
                    report.estimated_tokens += tokens
                    report.estimated_cost_usd += cost or 0.0
        report.evaluated += evaluated
        report.skipped += skipped
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
    except CommitFailed as error:
        raise ReplayError(f"Kafka did not take a batch: {error} Resume the replay to go on") from error


def _identity(output: Output) -> tuple[bytes, bytes]:
    """Return the id of the result that an output is or leads to, and its evaluation's."""
    headers: Any = output.headers
    if headers[0][0] == RESULT_ID_HEADER:
        return headers[0][1], headers[1][1]
    task = read_task(headers)
    return result_uuid(task.run_key).encode(), task.evaluation_id.encode()
