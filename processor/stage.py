"""The loop that all roles share: poll → work → produce and commit together.

One thread runs one stage and owns its consumer, its ledger and its committer. What the role does with the
records is its `Worker`'s business.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from processor.committer import CommitAborted, Committer, PendingCommit
from processor.deadline import Deadline
from processor.flow import Flow
from processor.lag import ConsumerLag
from processor.ledger import Frontier, Ledger, Span, TopicAndPartition
from processor.metrics import Metrics
from processor.rereads import Rereads, ascending
from processor.worker import Worker

_IN_FLIGHT, _BLOCKED = "in_flight", "blocked"
_BROKER_ANSWERS_S = 3.0
_DRAIN_SHARE = 0.75
"""Of the time for a revoke or a shutdown; the rest is the commit's."""


class StageError(RuntimeError):
    """The stage cannot go on; the process ends without a commit and is restarted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLimits:
    """How much a stage takes up, and for how long it waits.

    Attributes:
        batch_records: records per poll at the most.
        poll_s: how long a poll waits for a full batch; the latency of a quiet topic.
        commit_interval_s: between commits, at the least; what a crash does over, besides a commit on its way.
        max_records, max_bytes: taken up and not committed; at the bound the partitions are paused until
            half of it is left.
        commit_timeout_s: for one commit with all its retries.
        drain_s: of a revoke or a shutdown.
        rejoin_s: within which the group must have taken back a member that lost its partitions.
    """

    batch_records: int = 2000
    poll_s: float = 0.1
    commit_interval_s: float = 0.25
    max_records: int = 50_000
    max_bytes: int = 256 * 1024 * 1024
    commit_timeout_s: float = 90.0
    drain_s: float = 20.0
    rejoin_s: float = 120.0


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
        consumer: Consumer,
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
        self._first_read: dict[TopicAndPartition, int] = {}
        self._rereads = Rereads()
        self._stop = threading.Event()
        self._failed = False
        self._closing = False
        self._pending: PendingCommit | None = None
        self._leaving: Frontier | None = None
        self._last_commit_s = monotonic()
        self._lost_s: float | None = None
        self._log = structlog.get_logger("gavel.stage").bind(role=role)
        self.heartbeat_s = monotonic()
        self.progress_s = monotonic()
        self.subscribed = False

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
            self._consumer.close()
            self._committer.close(Deadline(5.0))
            self._worker.close()
            self._log.info("stage_ended", failed=self._failed)

    def _await_worker(self) -> bool:
        """Wait until the worker is ready; consumes nothing meanwhile. False if stopped before."""
        waited = False
        while not self._worker.ready():
            if not waited:
                self._log.warning("stage_waits", reason="worker_not_ready")
                waited = True
            self.heartbeat_s = self.progress_s = monotonic()
            if self._stop.wait(0.1):
                return False
        return True

    @property
    def records_in_flight(self) -> int:
        """Records taken up and not committed. May be read from any thread."""
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
        messages = self._consumer.consume(self._limits.batch_records, self._limits.poll_s)
        if messages:
            started = monotonic()
            self._take_up(messages)
            self._collect()
            self._metrics.observe("gavel_batch_seconds", monotonic() - started, role=self.role)
        else:
            self._collect()
        full_batch = len(messages) == self._limits.batch_records
        self._settle(self._patience(full_batch))
        due = monotonic() - self._last_commit_s >= self._limits.commit_interval_s
        idle = not messages and self._ledger.finished()  # nothing came and nothing is to come: what for wait?
        if self._pending is None and (due or idle or self._half_full()):
            self._begin_commit(Deadline(self._limits.commit_timeout_s))
            self._settle(self._patience(full_batch))
        if (self._ledger.oldest() is None and self._pending is None) or self._worker.blocked():
            self.progress_s = monotonic()

    def _patience(self, full_batch: bool) -> Deadline | None:
        """Return for how long to wait for a commit that is on its way; None for not at all.

        While batches come in full, the next is worked through meanwhile. Else there is nothing better to do: what was
        decided is seen sooner, and where only the commit holds records in hand no partition is paused, which would
        throw away what was fetched.
        """
        return None if full_batch and not self._full() else Deadline(self._limits.commit_timeout_s)

    def _full(self) -> bool:
        return self.records_in_flight >= self._limits.max_records or self._bytes_in_flight >= self._limits.max_bytes

    def _half_full(self) -> bool:
        """Whether what is done is half of the bounds: while it is committed, the other half can be taken up."""
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

    def _take_up(self, messages: list[Any]) -> None:
        groups: dict[TopicAndPartition, list[Any]] = {}
        for message in messages:
            if message.error() is not None:
                self._on_message_error(message.error())
                continue
            source = (message.topic(), message.partition())
            group = groups.get(source)
            if group is None:
                groups[source] = group = []
            group.append(message)
        now = monotonic()
        spans = []
        for source, group in groups.items():
            if source not in self._ledger.sources:
                continue  # revoked while the batch was on its way: its new owner reads it
            for stretch in ascending(group):
                spans += self._open(source, self._news(source, stretch), now)
        if spans:
            self._worker.submit(spans)

    def _open(self, source: TopicAndPartition, messages: list[Any], now_s: float) -> list[Span]:
        """Open the spans of `messages`, as far as the worker admits them."""
        if not messages:
            return []
        size = sum(map(len, messages))
        self._metrics.count("gavel_records_consumed", len(messages), role=self.role, topic=source[0])
        self._metrics.count("gavel_bytes_consumed", size, role=self.role, topic=source[0])
        admitted = self._worker.admit(source, messages, self)
        if not admitted:
            return []
        if self._worker.per_record:
            return [self._ledger.open(source, [m], size_bytes=len(m), now_s=now_s) for m in admitted]
        return [self._ledger.open(source, admitted, size_bytes=size, now_s=now_s)]

    def _news(self, source: TopicAndPartition, messages: list[Any]) -> list[Any]:
        """Return those of `messages` that were not taken up before, should offsets have gone back."""
        first, floor = messages[0].offset(), self._ledger.floor(source)
        kind = self._rereads.kind(source, messages, floor)
        if kind == "again":
            return [message for message in messages if message.offset() >= floor]
        if kind == "made_again":
            # What is in flight of the old topic has no offsets any more.
            self._log.warning("offsets_went_back", topic=source[0], partition=source[1], offset=first)
            self._worker.drop([source])
            self._ledger.assign([source])
            self._first_read[source] = first
            self._disown(source)
        self._first_read.setdefault(source, first)
        return messages

    def _on_message_error(self, error: KafkaError) -> None:
        code = error.code()
        if code == KafkaError._MAX_POLL_EXCEEDED:  # noqa: SLF001  # the name librdkafka exports it by
            raise StageError(
                f"left the group: {error.str()}; the work of one batch took longer than max.poll.interval.ms"
            )
        # As a message the error that ends a consumer for good comes by this code, and is not marked as fatal.
        if error.fatal() or code == KafkaError._FATAL:  # noqa: SLF001  # the name librdkafka exports it by
            raise StageError(f"consumer: {error.str()} (fatal)")
        self._log.warning("consumer_error", code=error.name(), error=error.str())

    def _collect(self) -> None:
        for span, outputs in self._worker.collect():
            self._ledger.end(span, outputs)

    def _begin_commit(self, deadline: Deadline) -> None:
        """Begin to commit the frontier if it has moved; on an aborted transaction rewind."""
        self._last_commit_s = monotonic()
        frontier = self._ledger.advance()
        self._leaving = frontier._replace(offsets=dict(frontier.offsets))
        self._export_state()
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
        self._first_read.update(frontier.offsets)
        self._log.debug(
            "batch_committed", records=frontier.records, outputs=len(frontier.outputs), took_ms=round(took_s * 1000, 1)
        )

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
        """Drop all that is in flight and read again from what is committed."""
        sources = self._ledger.sources
        self._worker.drop()
        self._ledger.assign(sources)
        for source in sources:
            offset = self._first_read.get(source)
            if offset is not None:
                self._consumer.seek(TopicPartition(*source, offset))

    def _finish(self, deadline: Deadline) -> None:
        self._flow.pause("stopping")
        self._drain(deadline)

    def _drain(self, deadline: Deadline) -> None:
        """Finish and commit what can be. Work that hangs must not take the time that the commit needs."""
        self._worker.drain(Deadline(deadline.left_s() * _DRAIN_SHARE))
        self._collect()
        self._settle(deadline)
        self._begin_commit(deadline)
        self._settle(deadline)

    # -- what a worker may ask ------------------------------------------------------------------------

    def defer(self, source: TopicAndPartition, offset: int, *, wait_s: float) -> None:
        """See `Control.defer`."""
        self._flow.defer(source, monotonic() + wait_s)
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
        self._ledger.assign(sources)
        self._flow.assign(sources)
        for source in sources:
            self._first_read.pop(source, None)
            self._rereads.forget(source)
        self._metrics.count("gavel_rebalances", role=self.role, kind="assigned")
        self._log.info("partitions_assigned", partitions=[f"{t}[{p}]" for t, p in sources])

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        sources = [(p.topic, p.partition) for p in partitions]
        if not self._closing:  # else it was drained before, or must not be committed
            self._drain(Deadline(self._limits.drain_s))
        self._release(sources, "revoked")

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Somebody else may own them already: nothing of them may be committed. What is on its way names the
        # generation that it belongs to, and the broker refuses it if that is over.
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
            self._first_read.pop((topic, partition), None)
            self._rereads.forget((topic, partition))
            self._disown((topic, partition))
            self._lag.forget((topic, partition))
        self._metrics.count("gavel_rebalances", role=self.role, kind=kind)
        self._log.info(f"partitions_{kind}", partitions=[f"{t}[{p}]" for t, p in sources])

    # -- seen from outside ----------------------------------------------------------------------------

    def _export_state(self) -> None:
        sources = self._ledger.sources
        self._metrics.set("gavel_records_in_flight", self.records_in_flight, role=self.role)
        self._metrics.set("gavel_bytes_in_flight", self._bytes_in_flight, role=self.role)
        self._metrics.set("gavel_partitions_assigned", len(sources), role=self.role)
        self._metrics.set("gavel_partitions_paused", len(self._flow.paused_sources), role=self.role)
        unread = [source for source in sources if source not in self._first_read]
        self._lag.export(self._first_read, {*self._flow.paused_sources, *unread})


__all__ = ["Frontier", "Stage", "StageError", "StageLimits"]
