"""Writes the events of this room to the results topic."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaException

from processor.events.beside import BesideEvent
from processor.events.confirmed import ConfirmedProducer

_SENT_WITHIN_S = 30.0


SendEvent = Callable[[BesideEvent, str], None]
"""Writes an event with its key, and raises `NotSent`."""


class NotSent(RuntimeError):
    """Kafka did not take an event in time; it is to be sent again."""


class EventOutlet:
    """Writes events to the results topic. Safe from many threads; it blocks until Kafka has them."""

    def __init__(self, producer: ConfirmedProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    def __call__(self, event: BesideEvent, key: str) -> None:
        """Write one event. Raises `NotSent`."""
        try:
            with self._producer.sending(_SENT_WITHIN_S) as sent:
                sent.produce(self._topic, value=event.value, key=key, headers=event.headers)
        except KafkaException as error:
            raise NotSent(f"Kafka did not take an event within {_SENT_WITHIN_S:g} s: {error}") from error
