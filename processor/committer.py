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

from collections.abc import Callable, Iterable
from time import sleep
from typing import Any, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from processor.deadline import Deadline
from processor.ledger import Frontier, Output

_T = TypeVar("_T")


class CommitAborted(Exception):
    """The transaction was aborted: nothing of it is visible. Rewind to the committed offsets and go on."""


class CommitFailed(RuntimeError):
    """Produced or committed state is unknown or lost: the process must end without another commit."""


class Committer(Protocol):
    """Makes a frontier durable. Called only by the thread that polls."""

    def commit(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> None:
        """Produce the outputs and commit the offsets; blocks until it is durable or the deadline is over.

        Raises:
            CommitAborted: nothing happened; the caller rewinds.
            CommitFailed: the caller ends the process.
        """

    def close(self, deadline: Deadline) -> None:
        """Give the connection back."""


def _offsets(frontier: Frontier) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in frontier.offsets.items()]


def _produce_all(producer: Producer, outputs: Iterable[Output], deadline: Deadline, **options: Any) -> None:
    for output in outputs:
        while True:
            try:
                producer.produce(
                    output.topic,
                    value=output.value,
                    key=output.key,
                    partition=output.partition,
                    headers=output.headers,
                    **options,
                )
                break
            except BufferError:
                # The local queue is full: deliveries make room. Bounded by the deadline, never dropped.
                if deadline.over():
                    raise CommitFailed("the producer's queue stayed full; is the broker reachable?") from None
                producer.poll(0.05)


class TransactionalCommitter:
    """Exactly once: outputs and offsets in one transaction.

    Args:
        configuration: of librdkafka; needs `transactional.id`, stable for this role and process, so that
            a restart fences what a killed process left open.
    """

    def __init__(self, configuration: dict[str, Any], *, start_timeout_s: float = 60.0) -> None:
        self._producer = Producer(configuration)
        deadline = Deadline(start_timeout_s)
        self._retry(lambda: self._producer.init_transactions(deadline.left_s()), deadline, "init_transactions")

    def commit(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> None:
        """See `Committer`. Steps 1 to 3 happen inside begin and commit of one transaction."""
        self._retry(self._producer.begin_transaction, deadline, "begin_transaction")
        try:
            _produce_all(self._producer, frontier.outputs, deadline)
        except KafkaException as error:
            self._classify(error, "produce", deadline)
        offsets, group = _offsets(frontier), consumer.consumer_group_metadata()
        self._retry(
            lambda: self._producer.send_offsets_to_transaction(offsets, group, deadline.left_s()),
            deadline,
            "send_offsets_to_transaction",
        )
        self._retry(lambda: self._producer.commit_transaction(deadline.left_s()), deadline, "commit_transaction")

    def _retry(self, call: Callable[[], _T], deadline: Deadline, step: str) -> _T:
        while True:
            try:
                return call()
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.retriable() and not reason.txn_requires_abort() and not deadline.over():
                    continue
                self._classify(error, step, deadline)

    def _classify(self, error: KafkaException, step: str, deadline: Deadline) -> None:
        """Turn a failure into the one thing to do about it. Never returns."""
        reason: KafkaError = error.args[0]
        if reason.fatal():
            raise CommitFailed(
                f"{step}: {reason.str()} (fatal; another process may use this transactional.id)"
            ) from error
        if reason.txn_requires_abort():
            try:
                self._producer.abort_transaction(max(deadline.left_s(), 10.0))
            except KafkaException as abort_error:
                raise CommitFailed(f"abort after {step}: {abort_error.args[0].str()}") from error
            raise CommitAborted(f"{step}: {reason.str()}") from error
        raise CommitFailed(f"{step}: {reason.str()}") from error

    def close(self, deadline: Deadline) -> None:
        """Nothing is buffered between transactions; flushing a fenced producer would raise, and hide why it ended."""


class AtLeastOnceCommitter:
    """At least once: every delivery confirmed first, offsets committed afterwards."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._producer = Producer(configuration)
        self._failed: KafkaError | None = None

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = error

    def commit(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> None:
        """See `Committer`. A delivery that fails ends the process; its offsets stay uncommitted."""
        if frontier.outputs:
            self._failed = None
            try:
                _produce_all(self._producer, frontier.outputs, deadline, on_delivery=self._on_delivery)
            except KafkaException as error:
                raise CommitFailed(f"produce: {error.args[0].str()}") from error
            left = self._producer.flush(deadline.left_s())
            if self._failed is not None:
                raise CommitFailed(f"produce: {self._failed.str()}")
            if left:
                raise CommitFailed(f"{left} messages were not confirmed in time; is the broker reachable?")
        commit_offsets(consumer, frontier, deadline)

    def close(self, deadline: Deadline) -> None:
        """Flush what is buffered."""
        self._producer.flush(deadline.left_s())


_STALE_MEMBER = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
    }
)


_OUTAGE = frozenset(
    {
        KafkaError._WAIT_COORD,  # noqa: SLF001  # the names librdkafka exports them by
        KafkaError._TIMED_OUT,  # noqa: SLF001  # the name librdkafka exports it by
        KafkaError._TRANSPORT,  # noqa: SLF001  # the name librdkafka exports it by
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001  # the name librdkafka exports it by
    }
)
"""A broker that is away or comes back. librdkafka does not call all of them retriable; committing again is harmless."""
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
            if (reason.retriable() or reason.code() in _OUTAGE) and not deadline.over():
                sleep(min(_RETRY_S, deadline.left_s()))
                continue
            raise CommitFailed(f"commit: {reason.str()}") from error
        for partition in committed or ():
            if partition.error is not None:
                raise CommitAborted(f"commit of {partition.topic}[{partition.partition}]: {partition.error.str()}")
        return
