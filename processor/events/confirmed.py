"""Messages that must be with the brokers before anything is noted about them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from processor.events.callbacks import flush, is_fatal, run_callbacks

_ROOM_S = 0.1
"""How long to wait for room in the client's queue before the message is enqueued again."""


_OWN_FAULT = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
    }
)
"""The client or the brokers refuse this message, and take others."""


class Confirmed:
    """Produces messages and waits until the brokers have confirmed each of them.

    The answer 0 of `Producer.flush` does not tell that: a message that the client gave up, because its time was over or
    the brokers refused it, has left the queue as well.

    Attributes:
        refused: the names of the messages that are refused by their own fault, such as their size, with the reasons.
    """

    def __init__(self, producer: Producer) -> None:
        self.refused: dict[Hashable, str] = {}
        self._producer = producer
        self._waiting = 0
        self._failed: KafkaError | None = None

    def produce(self, topic: str, *, name: Hashable = None, **message: Any) -> None:
        """Enqueue a message. Takes what `Producer.produce` takes.

        Blocks while the client's queue is full, but not for ever: the messages in it leave it within their time
        (`message.timeout.ms`).

        Args:
            name: under which the message is in `refused`, instead of failing all others.

        Raises:
            KafkaException: the client refuses the message, or gave up an earlier one. Send all of them again.
        """
        self._waiting += 1  # before, because another thread that uses the client may be told of the delivery at once
        while True:
            try:
                self._producer.produce(topic, **message, on_delivery=partial(self._on_delivery, name))
            except BufferError:
                self._failed = run_callbacks(self._producer, _ROOM_S) or self._failed
                self._raise_failure()
            except KafkaException as error:
                self._on_delivery(name, error.args[0])
                self._raise_failure()
                return
            else:
                return

    def wait(self, within_s: float) -> None:
        """Block until all messages are confirmed.

        Raises:
            KafkaException: at least one was not, within `within_s` seconds. Send all of them again.
        """
        _, fatal = flush(self._producer, within_s, done=lambda: self._waiting == 0)
        self._failed = fatal or self._failed
        self._raise_failure()
        if self._waiting:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the brokers did not confirm"))

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise KafkaException(self._failed)

    def _on_delivery(self, name: Hashable, error: KafkaError | None, _message: Message | None = None) -> None:
        if error is not None and name is not None and error.code() in _OWN_FAULT:
            self.refused[name] = error.str()
        elif error is not None and self._failed is None:
            self._failed = error
        self._waiting -= 1


class ConfirmedProducer:
    """A producer for the life of a process. Safe from many threads.

    It connects at the first message. One that failed for good, for instance because its user might not write, is
    replaced at the next message: the right may be there by then.

    Args:
        options: returns those of confluent-kafka's Producer.
    """

    def __init__(self, options: Callable[[], dict[str, Any]]) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    @contextmanager
    def sending(self, within_s: float) -> Iterator[Confirmed]:
        """Give a place for messages, and wait up to `within_s` seconds for their confirmations at the end of the block.

        Raises:
            KafkaException: see `Confirmed`. Send all of them again.
        """
        producer = self._open()
        try:
            sent = Confirmed(producer)
            yield sent
            sent.wait(within_s)
        except KafkaException as error:
            if is_fatal(error.args[0]):
                self._leave(producer)
            raise

    def close(self, within_s: float) -> None:
        """Wait up to `within_s` seconds for the messages on their way."""
        if self._producer is not None:
            flush(self._producer, within_s)

    def _open(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = Producer(self._options())
            return self._producer

    def _leave(self, failed: Producer) -> None:
        with self._lock:
            if self._producer is failed:
                self._producer = None
