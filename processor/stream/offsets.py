"""Committing offsets alone, without a call that may hang.

`Consumer.commit(asynchronous=False)` of confluent-kafka (2.16) has no time limit: it does not return while a broker
hangs (https://github.com/confluentinc/confluent-kafka-python/issues/1801). Every other call of the consumer waits for
it meanwhile, also on another thread, and `close` too. So offsets are committed in the background, and the client
reports the outcome in a poll. Whoever cannot poll asks the broker for the committed offsets. A deadline ends either
wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from processor.stream.deadline import Deadline
from processor.stream.transactions import HANGS, OUTAGE, CommitAborted, CommitFailed, failed

_RETRY_S = 0.2
_LOOK_S = 0.02
_LOOKS = 50
"""So many times the broker may name other offsets: a commit that waits for the group's coordinator can be behind."""
_ASK_TIMEOUT_S = 1.0
_ANSWER_S = 5.0
"""Seconds after the time of a commit in which its answer still counts."""
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


class OffsetConsumer(Consumer):
    """A consumer of a group that commits offsets in the background, one commit at a time.

    Attributes:
        outcome: of the last commit, once a poll has reported it: the error, if there is one, and the partitions with
            their own errors. None while it is not known.

    Args:
        options: of librdkafka.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.outcome: tuple[KafkaError | None, list[TopicPartition]] | None = None
        self._asked: set[tuple[str, int, int]] = set()
        super().__init__({**options, "on_commit": self._on_commit})

    def begin_commit(self, offsets: list[TopicPartition]) -> None:
        """Ask the broker to commit `offsets`. Does not block."""
        self.outcome, self._asked = None, _places(offsets)
        try:
            self.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self.outcome = error.args[0], []

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if _places(partitions) == self._asked:  # otherwise of an earlier commit, whose end was learned otherwise
            self.outcome = error, partitions


def _places(offsets: list[TopicPartition]) -> set[tuple[str, int, int]]:
    return {(each.topic, each.partition, each.offset) for each in offsets}


class PendingOffsets:
    """A commit of offsets that follows the deliveries of its outputs. Belongs to the thread that polls the consumer.

    Args:
        delivered: whether the brokers have confirmed all outputs; does not block, and raises CommitFailed.
        deadline: of all of it.
    """

    def __init__(
        self,
        consumer: OffsetConsumer,
        offsets: list[TopicPartition],
        delivered: Callable[[Deadline], bool],
        deadline: Deadline,
    ) -> None:
        self._consumer = consumer
        self._offsets = offsets
        self._delivered = delivered
        self._deadline = deadline
        self._next_try = Deadline(0.0)
        self._asked = self._done = False
        self._others = 0

    def ended(self) -> bool:
        """Whether the offsets are committed. Does not block; it goes on as long as the consumer is polled.

        Raises:
            CommitAborted: the group has moved on; the partitions' next owner does the work again.
            CommitFailed: any other failure, once the deadline is over; it is not known whether they are committed.
        """
        if not self._done and self._delivered(self._deadline):
            if not self._asked and self._next_try.over():
                self._asked = True
                self._consumer.begin_commit(self._offsets)
            if self._asked:
                self._look()
        return self._done

    def wait(self, deadline: Deadline) -> None:
        """Block until the offsets are committed, for which the broker is asked.

        The consumer must not be polled here: a poll within a callback of the client, such as that of a rebalance, makes
        confluent-kafka (2.16) abort the process at the next callback.

        Raises:
            CommitAborted, CommitFailed: see `ended`.
        """
        self._deadline = self._deadline.sooner(deadline)
        while not self.ended():
            if self._asked:
                self._compare()
            if not self._done:
                sleep(_LOOK_S)

    def leave(self, deadline: Deadline) -> None:
        """Do nothing: a commit that nobody waits for takes no thread and no time."""

    def _look(self) -> None:
        """Draw the conclusion from the outcome, if there is one."""
        if self._consumer.outcome is None:
            if self._deadline.over_for(_ANSWER_S):
                raise CommitFailed(HANGS)
            return
        reason, partitions = self._consumer.outcome
        self._asked = False
        if reason is None:
            for each in partitions:
                if each.error is not None:
                    raise CommitAborted(f"commit of {each.topic}[{each.partition}]: {each.error.str()}")
            self._done = True
            return
        self._fail_unless_it_may_pass(reason)
        if self._deadline.over():
            raise CommitFailed(failed("commit", reason))
        self._next_try = Deadline(_RETRY_S)

    def _compare(self) -> None:
        """Ask the broker which offsets it has. It answers after it has worked through the commit."""
        try:
            found = self._consumer.committed(self._offsets, timeout=_ASK_TIMEOUT_S)
        except KafkaException as error:
            self._fail_unless_it_may_pass(error.args[0])
            return
        self._done = _places(found) == _places(self._offsets)
        self._others += not self._done
        if self._others == _LOOKS:
            raise CommitAborted("commit: the broker has other offsets")

    def _fail_unless_it_may_pass(self, reason: KafkaError) -> None:
        if reason.code() in _STALE_MEMBER:
            raise CommitAborted(f"commit: {reason.str()}")
        if not reason.retriable() and reason.code() not in OUTAGE:
            raise CommitFailed(failed("commit", reason))


def close_within(consumer: Consumer, deadline: Deadline) -> bool:
    """Close `consumer`; return whether it is closed.

    The client waits in `close` for the outcome of a commit, which a broker that hangs never tells. The thread that
    closes is left behind then, and the end of the process ends it.
    """
    closing = threading.Thread(target=consumer.close, name="gavel-close", daemon=True)
    closing.start()
    closing.join(deadline.left_s())
    return not closing.is_alive()
