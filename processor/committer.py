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

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from time import sleep
from typing import Any, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from processor.deadline import Deadline
from processor.ledger import Frontier, Output

_T = TypeVar("_T")
_log = logging.getLogger("gavel.librdkafka")
_INFO = 6
"""Of syslog, by which librdkafka counts."""
_NEVER_CONNECTED = ("Connect to ", "Failed to resolve ")
"""In the log of a connection that could not be made, and has carried nothing."""


class CommitAborted(Exception):
    """The transaction was aborted: nothing of it is visible. Rewind to the committed offsets and go on."""


class CommitFailed(RuntimeError):
    """Produced or committed state is unknown or lost: the process must end without another commit."""


_ABORT_S = 12.0
"""What an abort may take once a commit's time is over."""
_HANGS = "a commit did not end in time; is the broker reachable?"


class PendingCommit:
    """A commit whose outputs the client has, and for whose rest the broker is waited for.

    While the stage works on, the rest is done by a thread of this commit's own. It begins when all outputs are
    delivered, which `ended` looks after: each delivery report takes the interpreter's lock, for which a second
    thread would wait for milliseconds, and for as many times as there are outputs.

    Args:
        rest: what is left to do; blocks until the deadline that it is given, and raises as `Committer.begin`. It may
            hang: librdkafka (2.16) does not keep the time limit of `send_offsets_to_transaction`, which waits for ever
            when a group's coordinator went away (https://github.com/confluentinc/librdkafka/issues/5456 and 5511).
        deadline: of all of it.
    """

    def __init__(self, producer: Producer, rest: Callable[[Deadline], None], deadline: Deadline) -> None:
        self._producer = producer
        self._rest = rest
        self._deadline = deadline
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def ended(self) -> bool:
        """Whether it is durable. Called by the thread that polls; never blocks.

        Raises:
            CommitAborted, CommitFailed: see `Committer.begin`.
        """
        if self._thread is None:
            self._producer.poll(0)
            if len(self._producer) == 0 or self._deadline.over():
                self._start()
            return False
        if self._thread.is_alive():
            if self._deadline.over_for(_ABORT_S):
                raise CommitFailed(_HANGS)
            return False
        self._raise()
        return True

    def wait(self, deadline: Deadline) -> None:
        """Block until it is durable.

        Raises:
            CommitAborted, CommitFailed: see `Committer.begin`; or the deadline is over.
        """
        self._deadline = self._deadline.sooner(deadline)
        thread = self._thread or self._start()
        thread.join(self._deadline.left_s() + _ABORT_S)
        if thread.is_alive():
            raise CommitFailed(_HANGS)
        self._raise()

    def leave(self, deadline: Deadline) -> None:
        """Let a commit that is on its way end, however it does, before the clients are closed; begin none."""
        if self._thread is not None:
            self._thread.join(deadline.left_s())

    def _start(self) -> threading.Thread:
        self._thread = threading.Thread(target=self._run, name="gavel-commit", daemon=True)
        self._thread.start()
        return self._thread

    def _run(self) -> None:
        try:
            self._rest(self._deadline)
        except BaseException as error:  # noqa: BLE001  # raised again in the thread that polls
            self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


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


class FencingProducer:
    """A transactional producer that begins anew after one of its connections broke.

    What was sent on a connection that broke may reach the broker yet, after the client has sent it again elsewhere
    and gone on. librdkafka (2.16) uses one epoch for all transactions of a producer (the second part of KIP-890 is
    not there: https://github.com/confluentinc/librdkafka/issues/5423), so the broker takes a late request to end a
    transaction for one of the *next*: that ends early, what is produced after belongs to none, and the next commit
    of this `transactional.id` shows it, although its offsets were never committed. A producer that is made anew has
    a higher epoch, and the broker refuses all that is late.

    Attributes:
        client: the producer of now. Between `renew` and the end of a transaction it stays the same.

    Args:
        configuration: of librdkafka, with `transactional.id`.
        start: initialises the transactions of a producer that was just made, and raises what its owner raises.
    """

    def __init__(self, configuration: dict[str, Any], start: Callable[[Producer], None]) -> None:
        logger = _Connections(configuration.get("logger", _log))
        # Else a connection that breaks is not told.
        told = {"log_level": max(_INFO, int(configuration.get("log_level", _INFO))), "log.connection.close": True}
        self._configuration = {**configuration, **told, "logger": logger}
        self._connections = logger
        self.client = self._make(start)

    def renew(self, start: Callable[[Producer], None]) -> None:
        """Call before each transaction, with none open: makes another producer if a connection broke since the last."""
        self.client.poll(0)  # what waits to be told
        if self._connections.broken:
            self.client = self._make(start)

    def _make(self, start: Callable[[Producer], None]) -> Producer:
        client = Producer(self._configuration)
        start(client)
        self._connections.broken = False  # what was sent until now is of a lower epoch
        return client


class _Connections:
    """Takes the client's log on its way to a logger: nothing else tells of every connection that breaks.

    Errors (`error_cb`) do so only when the last broker is gone.

    Attributes:
        broken: whether a connection broke that may have carried something.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.broken = False

    def log(self, level: int, form: str, facility: str, client: str, message: str) -> None:
        """Note and pass on one line, as confluent-kafka calls a logger."""
        if facility == "FAIL" and not any(text in message for text in _NEVER_CONNECTED):
            self.broken = True
        self._logger.log(level, form, facility, client, message)


class TransactionalCommitter:
    """Exactly once: outputs and offsets in one transaction.

    Args:
        configuration: of librdkafka; needs `transactional.id`, stable for this role and process, so that
            a restart fences what a killed process left open. A commit takes no longer than its
            `transaction.timeout.ms`: after that the broker has aborted the transaction.
    """

    def __init__(self, configuration: dict[str, Any], *, start_timeout_s: float = 60.0) -> None:
        self._limit_s = configuration.get("transaction.timeout.ms", 60_000) / 1000
        self._fencing = FencingProducer(configuration, self._start(Deadline(start_timeout_s)))

    @property
    def _producer(self) -> Producer:
        return self._fencing.client

    def _start(self, deadline: Deadline) -> Callable[[Producer], None]:
        return lambda producer: self._retry(
            lambda: producer.init_transactions(deadline.left_s()), deadline, "init_transactions"
        )

    def begin(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> PendingCommit:
        """See `Committer`: outputs and offsets go into one transaction."""
        deadline = deadline.sooner(Deadline(self._limit_s))
        self._fencing.renew(self._start(deadline))
        self._retry(self._producer.begin_transaction, deadline, "begin_transaction")
        try:
            _produce_all(self._producer, frontier.outputs, deadline)
        except KafkaException as error:
            self._classify(error, "produce", deadline)
        # The generation that the work belongs to: a later one would let offsets pass that are not ours any more.
        group = consumer.consumer_group_metadata()
        return PendingCommit(self._producer, partial(self._end, _offsets(frontier), group), deadline)

    def _end(self, offsets: list[TopicPartition], group: Any, deadline: Deadline) -> None:
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
        self._producer = Producer({**configuration, "delivery.report.only.error": True})
        self._failed: KafkaError | None = None

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = error

    def begin(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> PendingCommit:
        """See `Committer`. A delivery that fails ends the process; its offsets stay uncommitted."""
        self._failed = None
        try:
            _produce_all(self._producer, frontier.outputs, deadline, on_delivery=self._on_delivery)
        except KafkaException as error:
            raise CommitFailed(f"produce: {error.args[0].str()}") from error
        return PendingCommit(self._producer, partial(self._end, consumer, frontier), deadline)

    def _end(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> None:
        if frontier.outputs:
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
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
    }
)
"""A broker that is away, comes back, or hands its groups over. librdkafka does not call all of them retriable;
committing again is harmless."""
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
