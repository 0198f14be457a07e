"""The records of ids that came out wrong, printed while the brokers still run, to help find the cause."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from tests.services.waiting import PATIENCE_S

_SHOWN = 20


def evidence(kafka: str, results: str, events: str, ids: Collection[str]) -> str:
    """Return for some result ids, a line each, where they stand, of which event they are and where that stands."""
    wanted = set(sorted(ids)[:_SHOWN])
    places: dict[str, list[str]] = defaultdict(list)
    of: dict[str, tuple[str, str]] = {}
    for message in _records(kafka, results):
        headers = {name: (value or b"").decode() for name, value in message.headers() or ()}
        identity = headers.get("result_id", "")
        if identity in wanted:
            places[identity].append(_place(message))
            of[identity] = headers.get("evaluation_id", ""), (message.key() or b"").decode().partition(":")[2]
    sources: dict[str, list[str]] = defaultdict(list)
    for message in _records(kafka, events):
        sources[(message.key() or b"").decode()].append(_place(message))
    lines = []
    for identity in sorted(wanted):
        evaluation, event = of.get(identity, ("", ""))
        lines.append(f"{identity} at {places[identity]}; evaluation {evaluation}, event {event} at {sources[event]}")
    return "\n".join(lines)


def events_twice(kafka: str, events: str) -> list[tuple[bytes, int]]:
    """Return the events that stand in the topic more than once, by their keys, and how often they do."""
    copies: Counter[bytes] = Counter()
    values: dict[bytes, bytes] = {}
    for message in _records(kafka, events):
        key, value = message.key(), message.value()
        if key and value:
            copies[key] += 1
            values[key] = value
    return [(values[key], times) for key, times in copies.items() if times > 1]


def _place(message: Message) -> str:
    return f"[{message.partition()}]@{message.offset()} of {message.timestamp()[1]}"


def _records(kafka: str, topic: str) -> Iterator[Message]:
    """Yield the committed records of a topic, from its beginning to its end, each once."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": uuid4().hex,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.message.max.bytes": 16 * 1024 * 1024,
            "log_level": 0,
        }
    )
    try:
        left = set(consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        read: set[tuple[int | None, int | None]] = set()
        end = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < end:
            for message in consumer.consume(5000, 0.3):
                error = message.error()
                place = (message.partition(), message.offset())
                if error is None and place not in read:  # a client may fetch a record again when its broker died
                    read.add(place)
                    yield message
                elif error is not None and error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
    finally:
        consumer.close()
