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

from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from processor.events.callbacks import flush, run_callbacks
from processor.stream.deadline import Deadline
from processor.stream.ledger import Frontier
from processor.stream.offsets import OffsetConsumer, PendingOffsets
from processor.stream.transactions import CommitFailed, PendingCommit, Transactions, produce_output


class Committer(Protocol):
    """Makes a frontier durable. Called only by the thread that polls, and for one frontier at a time."""

    def begin(self, consumer: OffsetConsumer, frontier: Frontier, deadline: Deadline) -> PendingCommit | PendingOffsets:
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

    def begin(self, consumer: OffsetConsumer, frontier: Frontier, deadline: Deadline) -> PendingCommit:
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

    def begin(self, consumer: OffsetConsumer, frontier: Frontier, deadline: Deadline) -> PendingOffsets:
        """See `Committer`. A delivery that fails ends the process; its offsets stay uncommitted."""
        self._failed = None
        try:
            for output in frontier.outputs:
                produce_output(self._producer, output, deadline, on_delivery=self._on_delivery)
        except KafkaException as error:
            raise CommitFailed(f"produce: {error.args[0].str()}") from error
        return PendingOffsets(consumer, _offsets(frontier), self._delivered, deadline)

    def _delivered(self, deadline: Deadline) -> bool:
        failure = run_callbacks(self._producer) or self._failed
        if failure is not None:
            raise CommitFailed(f"produce: {failure.str()}")
        left = len(self._producer)
        if left and deadline.over():
            raise CommitFailed(f"{left} messages were not confirmed in time; is the broker reachable?")
        return left == 0

    def close(self, deadline: Deadline) -> None:
        """Flush the buffered records."""
        flush(self._producer, deadline.left_s())
