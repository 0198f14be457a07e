"""Kafka transactions: the one way in which committer, replay and redrive produce and commit together.

The order is the same for all of them:

1. renew the producer, if one of its connections broke since the last transaction;
2. begin a transaction and produce every output;
3. hand over the offsets, where there are any, and commit.

Every step ends within the deadline that the caller gives. Nothing is committed after a failure.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from processor.events.callbacks import reason_of, run_callbacks
from processor.events.output import Output
from processor.stream.deadline import Deadline

_T = TypeVar("_T")
_log = logging.getLogger("gavel.librdkafka")
_REFUSALS = frozenset({"ADDPARTS", "TXNERR"})
"""Facilities of the client's log that tell why a transaction failed."""
_INFO = 6
"""The syslog severity INFO; librdkafka numbers its log levels the same way."""
_NEVER_CONNECTED = ("Connect to ", "Failed to resolve ")
"""Beginnings of log lines about a connection that could not be made, and so has carried no request."""


class CommitAborted(Exception):
    """The transaction was aborted: nothing of it is visible. Rewind to the committed offsets and go on."""


class CommitFailed(RuntimeError):
    """Produced or committed state is unknown or lost: the process must end without another commit."""


_ABORT_S = 12.0
"""Seconds that an abort may take after the time of a commit is over."""
OUTAGE = frozenset(
    {
        KafkaError._WAIT_COORD,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
    }
)
"""A broker that is away, comes back, or hands its groups over. librdkafka does not call all of them retriable;
committing again is harmless."""
_LACKING = frozenset({KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND})
HANGS = "a commit did not end in time; is the broker reachable?"


def failed(step: str, reason: KafkaError) -> str:
    """Return the message of a step that failed for good: what, and where to look if the cluster is the cause."""
    told = f"{step}: {reason.str()}"
    if reason.retriable() or reason.code() in OUTAGE | _LACKING:
        told += "; are the brokers reachable, and enough replicas in sync (gavel check)? Nothing is lost by a restart"
    return told


class PendingCommit:
    """A commit whose outputs the client has, and for whose rest the broker is waited for.

    While the stage works on, the rest is done by a thread of this commit's own. It begins when all outputs are
    delivered, which `ended` looks after: each delivery report takes the interpreter's lock, for which a second
    thread would wait for milliseconds, and for as many times as there are outputs.

    Args:
        rest: the rest of the commit; it blocks until the deadline that it is given, and raises as `Committer.begin`. It
            may hang: librdkafka (2.16) ignores the time limit of `send_offsets_to_transaction`, which waits without end
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
        """Whether it is durable. Called by the thread that polls; does not wait for deliveries.

        Raises:
            CommitAborted, CommitFailed: see `Committer.begin`.
        """
        if self._thread is None:
            run_callbacks(self._producer)  # a fatal error fails the next step too
            if len(self._producer) > 0 and not self._deadline.over():
                return False
            self._start()
            return False
        if self._thread.is_alive():
            if self._deadline.over_for(_ABORT_S):
                raise CommitFailed(HANGS)
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
            raise CommitFailed(HANGS)
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


def produce_output(producer: Producer, output: Output, deadline: Deadline, **options: Any) -> None:
    """Enqueue `output` with the client. Blocks while the client's queue is full.

    Args:
        options: further arguments of `Producer.produce`, such as `on_delivery`.

    Raises:
        KafkaException: the client refuses the output, for instance because it is too large, or failed for good.
        CommitFailed: the queue stayed full until the deadline. The output is not dropped silently.
    """
    while True:
        try:
            producer.produce(
                output.topic, output.value, output.key, output.partition, headers=output.headers, **options
            )
            return
        except BufferError:
            if deadline.over():
                raise CommitFailed("the producer's queue stayed full; is the broker reachable?") from None
            fatal = run_callbacks(producer, 0.05)  # deliveries make room
            if fatal is not None:
                raise KafkaException(fatal) from None


class FencingProducer:
    """A transactional producer that is recreated after one of its connections broke.

    A request sent on a connection that broke can still reach the broker after the client has retried it on another
    connection and moved on. librdkafka (2.16) uses one epoch for all transactions of a producer, because it lacks the
    second part of KIP-890 (https://github.com/confluentinc/librdkafka/issues/5423). So the broker takes a late request
    to end a transaction for one of the *next* transaction. That one ends early, and later records belong to none. The
    next commit of this `transactional.id` makes them visible, although their offsets were never committed. A recreated
    producer has a higher epoch, and the broker refuses every late request.

    Attributes:
        client: the present producer. It does not change between `renew` and the end of a transaction.

    Args:
        configuration: of librdkafka, with `transactional.id`.
        start: initialises the transactions of a new producer. Its exceptions reach the caller.
    """

    def __init__(self, configuration: dict[str, Any], start: Callable[[Producer], None]) -> None:
        logger = _Connections(configuration.get("logger", _log))
        # Without these options librdkafka does not log that a connection broke.
        told = {"log_level": max(_INFO, int(configuration.get("log_level", _INFO))), "log.connection.close": True}
        self._configuration = {**configuration, **told, "logger": logger}
        self._connections = logger
        self.client = self._make(start)

    def refused(self) -> str:
        """Return why the broker refused a part of the present transaction, as the client's log tells; else empty."""
        run_callbacks(self.client)  # a fatal error is the failure whose reason the caller looks for
        return self._connections.refused

    def renew(self, start: Callable[[Producer], None]) -> None:
        """Call before each transaction, with none open: makes another producer if a connection broke since the last."""
        fatal = run_callbacks(self.client)  # among them those of the log
        self._connections.refused = ""
        if self._connections.broken and fatal is None:  # a producer that was fenced must not fence its successor
            self.client = self._make(start)

    def _make(self, start: Callable[[Producer], None]) -> Producer:
        client = Producer(self._configuration)
        start(client)
        self._connections.broken = False  # all earlier requests have a lower epoch
        return client


class _Connections:
    """Takes the client's log on its way to a logger: nothing else tells of every connection that breaks.

    Errors (`error_cb`) do so only when the last broker is gone.

    Attributes:
        broken: whether a connection broke that may have carried something.
        refused: the first refusal of a part of a transaction, which names the topic. The errors of later calls do not
            tell: they say that the transaction is in another state.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.broken = False
        self.refused = ""

    def log(self, level: int, form: str, facility: str, client: str, message: str) -> None:
        """Note and pass on one line, as confluent-kafka calls a logger."""
        if facility == "FAIL" and not any(text in message for text in _NEVER_CONNECTED):
            self.broken = True
        if facility in _REFUSALS and level >= logging.ERROR and not self.refused:
            self.refused = message.partition("]: ")[2] or message
        self._logger.log(level, form, facility, client, message)


class OutputTooLarge(CommitFailed):
    """One output is above the largest message that the client sends. The transaction is still open."""


class Transactions:
    """Transactions of one `transactional.id`, one at a time: `begin`, `produce` as often as needed, `commit`.

    Args:
        configuration: options of librdkafka; needs `transactional.id`, stable for its owner, so that a restart fences
            what a killed process left open. A transaction lasts no longer than its `transaction.timeout.ms`, because
            the broker aborts it then.
        start_timeout_s: for the first connection.

    Raises:
        CommitFailed: from the constructor, if the broker does not answer in time or refuses.
    """

    def __init__(self, configuration: dict[str, Any], *, start_timeout_s: float = 60.0) -> None:
        self._limit_s = configuration.get("transaction.timeout.ms", 60_000) / 1000
        self._refused: Callable[[], str] = str  # while the first producer starts, which may fail
        self._fencing = FencingProducer(configuration, self._start(Deadline(start_timeout_s)))
        self._refused = self._fencing.refused

    @property
    def producer(self) -> Producer:
        """The client of the current transaction."""
        return self._fencing.client

    def deadline(self, wanted: Deadline) -> Deadline:
        """Return `wanted`, or the broker's own time limit for a transaction that begins now if that ends sooner."""
        return wanted.sooner(Deadline(self._limit_s))

    def begin(self, deadline: Deadline) -> None:
        """Open a transaction. Blocks until then.

        Raises:
            CommitAborted, CommitFailed: see their docstrings; so in all methods of this class.
        """
        self._fencing.renew(self._start(deadline))
        self._retry(self.producer.begin_transaction, deadline, "begin_transaction")

    def produce(self, output: Output, deadline: Deadline) -> None:
        """Enqueue `output` in the open transaction.

        Raises:
            OutputTooLarge: the output can never be sent; the transaction stays open.
        """
        try:
            produce_output(self.producer, output, deadline)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise OutputTooLarge(f"produce to {output.topic}: {error.args[0].str()}") from error
            self._classify(error, "produce", deadline)

    def commit(self, offsets: Sequence[TopicPartition], group: Any, deadline: Deadline) -> PendingCommit:
        """Begin to commit the open transaction.

        Args:
            offsets: committed with the outputs; may be empty.
            group: `Consumer.consumer_group_metadata()` of the generation that the work belongs to: a later generation
                would let offsets pass that this process does not own any more. None without offsets.
        """
        return PendingCommit(self.producer, partial(self._end, offsets, group), deadline)

    def send(
        self, outputs: Iterable[Output], offsets: Sequence[TopicPartition], group: Any, deadline: Deadline
    ) -> PendingCommit:
        """Begin to make `outputs` and `offsets` durable together: `begin`, `produce` and `commit` in one call."""
        deadline = self.deadline(deadline)
        self.begin(deadline)
        for output in outputs:
            self.produce(output, deadline)
        return self.commit(offsets, group, deadline)

    def _start(self, deadline: Deadline) -> Callable[[Producer], None]:
        return lambda producer: self._retry(
            lambda: producer.init_transactions(deadline.left_s()), deadline, "init_transactions"
        )

    def _end(self, offsets: Sequence[TopicPartition], group: Any, deadline: Deadline) -> None:
        if offsets:
            self._retry(
                lambda: self.producer.send_offsets_to_transaction(list(offsets), group, deadline.left_s()),
                deadline,
                "send_offsets_to_transaction",
            )
        self._retry(lambda: self.producer.commit_transaction(deadline.left_s()), deadline, "commit_transaction")

    def _retry(self, call: Callable[[], _T], deadline: Deadline, step: str) -> _T:
        while True:
            try:
                return call()
            except (KafkaException, SystemError) as error:
                reason = reason_of(error)
                if reason.retriable() and not reason.txn_requires_abort() and not deadline.over():
                    continue
                self._classify(error, step, deadline)

    def _classify(self, error: KafkaException | SystemError, step: str, deadline: Deadline) -> NoReturn:
        """Turn a failure into the one thing to do about it. Never returns."""
        reason = reason_of(error)
        if reason.fatal():
            raise CommitFailed(
                f"{step}: {reason.str()} (fatal; another process may use this transactional.id){self._because()}"
            ) from error
        if reason.txn_requires_abort():
            because = self._because()
            try:
                self.producer.abort_transaction(max(deadline.left_s(), 10.0))
            except (KafkaException, SystemError) as abort_error:
                raise CommitFailed(f"abort after {step}: {reason_of(abort_error).str()}{because}") from error
            raise CommitAborted(f"{step}: {reason.str()}{because}") from error
        raise CommitFailed(f"{failed(step, reason)}{self._because()}") from error

    def _because(self) -> str:
        refused = self._refused()
        return f"; the broker had refused before: {refused}" if refused else ""
