"""Producing results and committing the offsets that they answer, together.

The order is the same in every committer:

1. produce every output of the frontier;
2. hand over the frontier's offsets;
3. commit — in one Kafka transaction (`exactly_once`), or after every delivery is confirmed
   (`at_least_once`).

Nothing is committed after a failure. Reads of the results with `isolation.level=read_committed` see what
a transaction produced if and only if its offsets are committed.
"""

from __future__ import annotations

from functools import partial
from time import sleep
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from processor.stream.deadline import Deadline
from processor.stream.ledger import Frontier
from processor.stream.transactions import (
    OUTAGE,
    CommitAborted,
    CommitFailed,
    PendingCommit,
    Transactions,
    failed,
    produce_output,
)


class Committer(Protocol):
    """Makes a frontier durable. Called only by the thread that polls, and for one frontier at a time."""

    def begin(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> PendingCommit:
        """Produce the outputs, and begin to make them and the offsets durable.

        Raises:
            CommitAborted: nothing happened; the caller rewinds.
            CommitFailed: the caller ends the process.
        """

    def close(self, deadline: Deadline) -> None:
        """Give the connection back."""


def _offsets(frontier: Frontier) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in frontier.offsets.items()]


class TransactionalCommitter:
    """Exactly once: outputs and offsets in one transaction.

    Args:
        configuration: options of librdkafka; see `Transactions`.
    """

    def __init__(self, configuration: dict[str, Any], *, start_timeout_s: float = 60.0) -> None:
        self._transactions = Transactions(configuration, start_timeout_s=start_timeout_s)

    def begin(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> PendingCommit:
        """See `Committer`: outputs and offsets go into one transaction."""
        return self._transactions.send(
            frontier.outputs, _offsets(frontier), consumer.consumer_group_metadata(), deadline
        )

    def close(self, deadline: Deadline) -> None:
        """Do nothing: nothing is buffered between transactions, and flushing a fenced producer would raise."""


class AtLeastOnceCommitter:
    """At least once: every delivery confirmed first, offsets committed afterwards."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._producer = Producer({**configuration, "delivery.report.only.error": True})
        self._failed: KafkaError | None = None

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = error

    def begin(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> PendingCommit:
        """See `Committer`. A delivery that fails ends the process; its offsets stay uncommitted."""
        self._failed = None
        try:
            for output in frontier.outputs:
                produce_output(self._producer, output, deadline, on_delivery=self._on_delivery)
        except KafkaException as error:
            raise CommitFailed(f"produce: {error.args[0].str()}") from error
        return PendingCommit(self._producer, partial(self._end, consumer, frontier), deadline, uses_consumer=True)

    def _end(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> None:
        if frontier.outputs:
            left = self._producer.flush(deadline.left_s())
            if self._failed is not None:
                raise CommitFailed(f"produce: {self._failed.str()}")
            if left:
                raise CommitFailed(f"{left} messages were not confirmed in time; is the broker reachable?")
        commit_offsets(consumer, frontier, deadline)

    def close(self, deadline: Deadline) -> None:
        """Flush the buffered records."""
        self._producer.flush(deadline.left_s())


_STALE_MEMBER = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)
"""The group has moved on without this member. The epochs belong to groups of the protocol `consumer`."""


_RETRY_S = 0.2


def commit_offsets(consumer: Consumer, frontier: Frontier, deadline: Deadline) -> None:
    """Commit the frontier's offsets alone, synchronously.

    Raises:
        CommitAborted: the group has moved on; the partitions' next owner does the work again.
        CommitFailed: any other failure, once the deadline is over.
    """
    while True:
        try:
            committed = consumer.commit(offsets=_offsets(frontier), asynchronous=False)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() in _STALE_MEMBER:
                raise CommitAborted(f"commit: {reason.str()}") from error
            if (reason.retriable() or reason.code() in OUTAGE) and not deadline.over():
                sleep(min(_RETRY_S, deadline.left_s()))
                continue
            raise CommitFailed(failed("commit", reason)) from error
        for partition in committed or ():
            if partition.error is not None:
                raise CommitAborted(f"commit of {partition.topic}[{partition.partition}]: {partition.error.str()}")
        return
