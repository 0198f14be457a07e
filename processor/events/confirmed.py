"""Messages that must be with the brokers before anything is noted about them."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

_ROOM_S = 0.1
"""How long to wait for room in the client's queue before the message is enqueued again."""


class Confirmed:
    """Produces messages and waits until the brokers have confirmed each of them.

    The answer 0 of `Producer.flush` does not tell that: a message that the client gave up, because its time was over or
    the brokers refused it, has left the queue as well.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._waiting = 0
        self._failed: KafkaError | None = None

    def produce(self, topic: str, **message: Any) -> None:
        """Enqueue a message. Takes what `Producer.produce` takes.

        Blocks while the client's queue is full, but not for ever: the messages in it leave it within their time
        (`message.timeout.ms`).

        Raises:
            KafkaException: the client refuses the message, or gave up an earlier one. Send all of them again.
        """
        self._waiting += 1  # before, because another thread that uses the client may be told of the delivery at once
        while True:
            try:
                self._producer.produce(topic, **message, on_delivery=self._on_delivery)
            except BufferError:
                self._producer.poll(_ROOM_S)
                self._raise_failure()
            else:
                return

    def wait(self, within_s: float) -> None:
        """Block until all messages are confirmed.

        Raises:
            KafkaException: at least one was not, within `within_s` seconds. Send all of them again.
        """
        self._producer.flush(within_s)
        self._raise_failure()
        if self._waiting:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the brokers did not confirm"))

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise KafkaException(self._failed)

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        self._waiting -= 1
        if error is not None and self._failed is None:
            self._failed = error
