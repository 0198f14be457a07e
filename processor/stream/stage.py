"""The loop that all roles share: poll → work → produce and commit together.

One thread runs one stage and owns its consumer, its ledger and its committer. The role's `Worker`
processes the records.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import Message as ConsumedMessage

from processor.events.message import PolledMessage
from processor.events.output import Output, TopicAndPartition
from processor.metrics import Metrics
from processor.stream.committer import Committer
from processor.stream.deadline import Deadline
from processor.stream.flow import Flow
from processor.stream.intake import Intake
from processor.stream.lag import ConsumerLag
from processor.stream.ledger import Frontier, Ledger
from processor.stream.limits import StageError, StageLimits
from processor.stream.lost import LostRanges
from processor.stream.offsets import OffsetConsumer, PendingOffsets, close_within
from processor.stream.transactions import CommitAborted, PendingCommit
from processor.stream.worker import Worker

_IN_FLIGHT, _BLOCKED = "in_flight", "blocked"
_BROKER_ANSWERS_S = 3.0
_USUAL_START_S = 10.0
"""Seconds that a worker may take to be ready before somebody is told."""
_USUAL_COMMIT_S = 10.0
"""Seconds that a commit may take before somebody is told."""
_WORKING_POLL_S = 0.01
"""A poll waits no longer than this while work is in flight, because it does not notice work that ends."""
_NEXT_BATCH_S = 0.02
"""A poll waits no longer than this for another full batch. If none comes, the backlog is done and its results must be
committed."""
_EXPORT_EVERY_S = 0.25
_CLOSE_S = 10.0
"""Seconds for leaving the group. A member that did not leave is missed by the group when its session is over."""
_DRAIN_SHARE = 0.75
"""Share of the time of a revoke or a shutdown in which the worker drains; the rest is for the commit."""


class Stage:
    """One role of one process.

    Args:
        role: `matcher`, `judge` or `sink`: the label of its metrics and logs.
        consumer: not yet subscribed; `enable.auto.commit` off.
    """

    def __init__(
        self,
        role: str,
        topics: list[str],
        consumer: OffsetConsumer,
        committer: Committer,
        worker: Worker,
        limits: StageLimits,
        metrics: Metrics,
    ) -> None:
        self.role = role
        self.topics = topics
        self._consumer = consumer
        self._committer = committer
        self._worker = worker
        self._limits = limits
        self._metrics = metrics
        self._ledger = Ledger()
        self._flow = Flow(consumer)
        self._lag = ConsumerLag(role, consumer, metrics)
        lost = LostRanges(role, consumer, metrics)
        self._intake = Intake(role, self._ledger, self._lag, lost, metrics, worker, disown=self._disown, control=self)
        self._stop = threading.Event()
        self._failed = False
        self._closing = False
        self._pending: PendingCommit | PendingOffsets | None = None
        self._paused: tuple[TopicAndPartition, ...] = ()
        self._leaving: Frontier | None = None
        self._leaving_due_ms: dict[TopicAndPartition, int] = {}
        self._last_commit_s = monotonic()
        self._said_waiting = False
        self._last_export_s = 0.0
        self._full_batch = False
        self._lost_s: float | None = None
        self._joining_s: float | None = None
        self._was_assigned = False
        self._log = structlog.get_logger("gavel.stage").bind(role=role)
        self.heartbeat_s = monotonic()
        self.progress_s = monotonic()
        self.subscribed = False
        self.on_committed: Callable[[Sequence[Output]], None] | None = None

    # -- life -----------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the stage to drain, commit and end. Safe from any thread and from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop` is called. Blocks; everything is committed or given back when it returns.

        Raises:
            Exception: whatever could not be handled; nothing was committed after it.
        """
        try:
            if not self._await_worker():
                return
            self._consumer.subscribe(
                self.topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            self.subscribed = True
            self._joining_s = monotonic()
            while not self._stop.is_set():
                self._step()
            self._finish(Deadline(self._limits.drain_s))
        except BaseException:
            self._failed = True
            raise
        finally:
            self.subscribed = False
            self._closing = True
            self._worker.drop()
            if self._pending is not None:
                self._pending.leave(Deadline(5.0))
            if not close_within(self._consumer, Deadline(_CLOSE_S)):
                self._log.warning("consumer_left_open", reason="the broker does not answer; its group will miss it")
            self._committer.close(Deadline(5.0))
            self._worker.close()
            self._log.info("stage_ended", failed=self._failed)

    def _await_worker(self) -> bool:
        """Wait until the worker is ready; consumes nothing meanwhile. False if stopped before."""
        began_s, said = monotonic(), False
        while not self._worker.ready():
            if not said and monotonic() - began_s >= _USUAL_START_S:
                self._log.warning("stage_waits", reason="worker_not_ready")
                said = True
            self.heartbeat_s = self.progress_s = monotonic()
            if self._stop.wait(0.1):
                return False
        return True

    @property
    def partitions(self) -> int:
        """Partitions that this process has now. May be read from any thread."""
        return len(self._ledger.sources)

    @property
    def sources(self) -> tuple[TopicAndPartition, ...]:
        """The partitions that this process has now. May be read from any thread."""
        return self._ledger.sources

    @property
    def paused(self) -> tuple[TopicAndPartition, ...]:
        """The partitions that were paused at the last poll. May be read from any thread."""
        return self._paused

    @property
    def waits_for_partitions(self) -> bool:
        """Whether the group should have given partitions to this process and has not. May be read from any thread.

        A process that has never had any within the time of a rebalance is a spare: there are more processes than
        partitions, and nothing is wrong.
        """
        if not self.subscribed or self.partitions:
            return not self.subscribed
        if self._lost_s is not None or self._joining_s is None:
            return True
        return not self._was_assigned and monotonic() - self._joining_s < self._limits.rejoin_s

    @property
    def waits_since_s(self) -> float:
        """Monotonic seconds of the last turn, or of the beginning of a commit that has not ended since.

        May be read from any thread.
        """
        return self.heartbeat_s if self._pending is None else min(self.heartbeat_s, self._last_commit_s)

    @property
    def records_in_flight(self) -> int:
        """The number of records that were read and not committed. May be read from any thread."""
        return self._ledger.records_in_flight + self._ledger.records_leaving

    @property
    def _bytes_in_flight(self) -> int:
        return self._ledger.bytes_in_flight + self._ledger.bytes_leaving

    # -- the loop -------------------------------------------------------------------------------------

    def _step(self) -> None:
        now = self.heartbeat_s = monotonic()
        if self._lost_s is not None and now - self._lost_s > self._limits.rejoin_s and not self._ledger.sources:
            self._look_for_the_group()
        self._flow.settle()
        self._flow.wake(now)
        self._set_pauses()
        messages = self._poll()
        started = monotonic()
        if self._intake.take_up(cast("list[PolledMessage]", messages)):
            self._collect()
            self._metrics.observe("gavel_batch_seconds", monotonic() - started, role=self.role)
        else:
            self._collect()
        self._settle(self._patience())
        if now - self._last_export_s >= _EXPORT_EVERY_S:
            self._last_export_s = now
            self._export_state()
        if self._pending is None and self._ledger.records_ended and self._due():
            self._begin_commit(Deadline(self._limits.commit_timeout_s))
            self._settle(self._patience())
        if (self._ledger.oldest() is None and self._pending is None) or self._worker.blocked():
            self.progress_s = monotonic()

    def _poll(self) -> list[ConsumedMessage]:
        """Return the next records, and note whether they fill a batch.

        After a full batch it waits for another one, because full batches cost the least per record. Otherwise the first
        record ends the wait, and the prefetched ones come with it.
        """
        limits, consumer = self._limits, self._consumer
        if self._full_batch:
            messages = consumer.consume(limits.batch_records, min(limits.poll_s, _NEXT_BATCH_S))
        else:
            wait_s = min(limits.poll_s, _WORKING_POLL_S) if self.records_in_flight else limits.poll_s
            messages = consumer.consume(1, wait_s)
            if messages and limits.batch_records > 1:
                messages += consumer.consume(limits.batch_records - 1, 0.0)
        self._full_batch = len(messages) == limits.batch_records
        return messages

    def _due(self) -> bool:
        """Whether finished work is to be committed now.

        There is no timer while batches are not full: the commit in progress decides how much the next one holds. Full
        batches are committed together, until the interval or half of the bounds is reached.
        """
        late = monotonic() - self._last_commit_s >= self._limits.commit_interval_s
        return not self._full_batch or late or self._half_full()

    def _patience(self) -> Deadline | None:
        """Return how long to wait for the commit in progress, or None to carry on without waiting.

        While batches are full, the next one is processed meanwhile. Otherwise the stage is idle and waits: results are
        visible sooner, and a partition is not paused for records that only the commit holds. A pause would discard the
        prefetched records. A commit of offsets is not waited for, because polls report how it ended.
        """
        goes_on = self._full_batch and not self._full()
        if goes_on or isinstance(self._pending, PendingOffsets):
            return None
        return Deadline(self._limits.commit_timeout_s)

    def _full(self) -> bool:
        return self.records_in_flight >= self._limits.max_records or self._bytes_in_flight >= self._limits.max_bytes

    def _half_full(self) -> bool:
        """Whether finished work fills half of the bounds: the other half can proceed during its commit."""
        ledger, limits = self._ledger, self._limits
        return ledger.records_ended >= limits.max_records // 2 or ledger.bytes_ended >= limits.max_bytes // 2

    def _set_pauses(self) -> None:
        limits = self._limits
        if self._full():
            self._flow.pause(_IN_FLIGHT)
        elif self.records_in_flight <= limits.max_records // 2 and self._bytes_in_flight <= limits.max_bytes // 2:
            self._flow.resume(_IN_FLIGHT)
        if self._worker.blocked():
            self._flow.pause(_BLOCKED)
        else:
            self._flow.resume(_BLOCKED)

    def _collect(self) -> None:
        for span, outputs in self._worker.collect():
            self._ledger.end(span, outputs)

    def _begin_commit(self, deadline: Deadline) -> None:
        """Begin to commit the frontier if it has moved; on an aborted transaction rewind."""
        self._last_commit_s = monotonic()
        self._said_waiting = False
        self._leaving_due_ms = self._ledger.due_ms()
        frontier = self._ledger.advance()
        self._leaving = frontier._replace(offsets=dict(frontier.offsets))
        if not frontier.offsets:
            return
        try:
            self._pending = self._committer.begin(self._consumer, frontier, deadline)
        except CommitAborted as error:
            self._aborted(error)

    def _settle(self, deadline: Deadline | None) -> None:
        """Note how the commit that is on its way has ended, if it has; with a deadline wait for it."""
        pending, frontier = self._pending, self._leaving
        if pending is None or frontier is None:
            return
        try:
            if deadline is not None:
                pending.wait(deadline)
            elif not pending.ended():
                self._say_waiting()
                return
        except CommitAborted as error:
            self._aborted(error)
            return
        self._pending = self._leaving = None
        self._ledger.settle()
        took_s = monotonic() - self._last_commit_s
        self.progress_s = self._last_commit_s = monotonic()
        self._metrics.observe("gavel_commit_seconds", took_s, role=self.role)
        self._metrics.count("gavel_commits", role=self.role)
        self._intake.first_read.update(frontier.offsets)
        if self.on_committed is not None:
            self.on_committed(frontier.outputs)
        self._log.debug(
            "batch_committed", records=frontier.records, outputs=len(frontier.outputs), took_ms=round(took_s * 1000, 1)
        )

    def _say_waiting(self) -> None:
        if not self._said_waiting and monotonic() - self._last_commit_s >= _USUAL_COMMIT_S:
            self._said_waiting = True
            self._log.warning("commit_waits", reason="no broker has answered; are the brokers reachable (gavel check)?")

    def _aborted(self, error: CommitAborted) -> None:
        self._pending = self._leaving = None
        self._ledger.settle()
        self._metrics.count("gavel_transactions_aborted", role=self.role)
        self._log.warning("commit_aborted", error=str(error))
        self._rewind()

    def _disown(self, source: TopicAndPartition) -> None:
        """Whatever becomes of the commit on its way, it says no more of where `source` is to be read from."""
        if self._leaving is not None:
            self._leaving.offsets.pop(source, None)

    def _rewind(self) -> None:
        """Drop all work in flight and read again from the committed offsets."""
        sources = self._ledger.sources
        self._worker.drop()
        self._ledger.assign(sources)
        for source in sources:
            offset = self._intake.first_read.get(source)
            self._lag.rewound(source)
            if offset is not None:
                self._consumer.seek(TopicPartition(*source, offset))

    def _finish(self, deadline: Deadline) -> None:
        self._flow.pause("stopping")
        self._drain(deadline)

    def _drain(self, deadline: Deadline) -> None:
        """Finish and commit as much as possible. Work that hangs must not take the time that the commit needs."""
        self._worker.drain(Deadline(deadline.left_s() * _DRAIN_SHARE))
        self._collect()
        self._settle(deadline)
        self._begin_commit(deadline)
        self._settle(deadline)

    # -- what a worker may ask ------------------------------------------------------------------------

    def defer(
        self, source: TopicAndPartition, offset: int, *, wait_s: float, parked_since_ms: int | None = None
    ) -> None:
        """See `Control.defer`."""
        self._flow.defer(source, monotonic() + wait_s)
        self._lag.rewound(source)
        if parked_since_ms is not None:
            self._lag.parked(source, parked_since_ms)
        self._consumer.seek(TopicPartition(*source, offset))

    def wake(self, source: TopicAndPartition | None = None) -> None:
        """See `Control.wake`."""
        if source is None:
            self._flow.wake_all()
        else:
            self._flow.wake_one(source)

    # -- the group ------------------------------------------------------------------------------------

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        sources = [(p.topic, p.partition) for p in partitions]
        self._lost_s = None
        self._was_assigned = True
        self._ledger.assign(sources)
        self._flow.assign(sources)
        for source in sources:
            self._intake.assigned(source)
        self._metrics.count("gavel_rebalances", role=self.role, kind="assigned")
        self._log.info("partitions_assigned", partitions=[f"{t}[{p}]" for t, p in sources])

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        sources = [(p.topic, p.partition) for p in partitions]
        if not self._closing:  # while closing, it was drained before, or must not be committed
            self._drain(Deadline(self._limits.drain_s))
        self._release(sources, "revoked")

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Another member may own them already, so none of their work may be committed. A commit in progress names its
        # generation, and the broker refuses it if that generation is over.
        self._release([(p.topic, p.partition) for p in partitions], "lost")
        self._lost_s = monotonic()

    def _look_for_the_group(self) -> None:
        """End the stage if a broker answers and the group has not taken this member back all the same.

        Seen after outages, whether by the client's fault or the group's; a new process joins anew.
        """
        try:
            self._consumer.list_topics(timeout=_BROKER_ANSWERS_S)
        except KafkaException:
            self._lost_s = monotonic()  # the outage goes on: the time begins anew
            return
        raise StageError(
            f"partitions were lost and the group has assigned none for {self._limits.rejoin_s:.0f} s, though a broker "
            "answers; the process ends, to join anew"
        )

    def _release(self, sources: Iterable[TopicAndPartition], kind: str) -> None:
        sources = list(sources)
        self._worker.drop(sources)
        self._ledger.revoke(sources)
        self._flow.revoke(sources)
        for topic, partition in sources:
            self._intake.forget((topic, partition))
            self._disown((topic, partition))
            self._lag.forget((topic, partition))
        self._metrics.count("gavel_rebalances", role=self.role, kind=kind)
        self._log.info(f"partitions_{kind}", partitions=[f"{t}[{p}]" for t, p in sources])

    # -- seen from outside ----------------------------------------------------------------------------

    def _export_state(self) -> None:
        sources = self._ledger.sources
        due_ms = self._ledger.due_ms()
        if self._pending is not None:
            due_ms |= self._leaving_due_ms  # their records are not committed yet
        self._metrics.set("gavel_records_in_flight", self.records_in_flight, role=self.role)
        self._metrics.set("gavel_bytes_in_flight", self._bytes_in_flight, role=self.role)
        self._metrics.set("gavel_partitions_assigned", len(sources), role=self.role)
        self._paused = tuple(self._flow.paused_sources)
        self._metrics.set("gavel_partitions_paused", len(self._paused), role=self.role)
        unread = [source for source in sources if source not in self._intake.first_read]
        paused = {*self._paused, *unread}
        self._lag.export(self._intake.first_read, paused, due_ms, self._flow.deferred_sources)
