"""The events that this room emits, as rows of the results topic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from confluent_kafka import KafkaException, Producer

from processor.events.confirmed import Confirmed

_SENT_WITHIN_S = 30.0


class NotSent(RuntimeError):
    """Kafka did not take an event in time; it is to be sent again."""


class EventOutlet:
    """Writes events to the results topic. Safe from many threads; it blocks until Kafka has them."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    def __call__(self, event: bytes, key: str) -> None:
        """Write one event. Raises `NotSent`."""
        sent = Confirmed(self._producer)
        try:
            sent.produce(self._topic, value=event, key=key)
            sent.wait(_SENT_WITHIN_S)
        except (KafkaException, BufferError) as error:
            raise NotSent(f"Kafka did not take an event within {_SENT_WITHIN_S:g} s: {error}") from error


def emitted(
    uuid: str,
    event: str,
    team_id: int,
    at: datetime,
    properties: Mapping[str, Any],
    *,
    distinct_id: str,
) -> bytes:
    """Return one event in the outer form of a result; `at` is aware, and the sink leaves other events alone."""
    stamp = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return orjson.dumps(
        {
            "uuid": uuid,
            "event": event,
            "properties": orjson.dumps(properties).decode(),
            "team_id": team_id,
            "project_id": team_id,
            "distinct_id": distinct_id,
            "timestamp": stamp,
            "elements_chain": "",
            "created_at": stamp,
            "person_mode": "propertyless",
        }
    )
