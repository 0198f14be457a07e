"""What the topics hold of ids that came out wrong, told while the brokers still stand, to help find the cause."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

_READ_S = 60.0
_SHOWN = 20


def evidence(kafka: str, results: str, events: str, ids: Collection[str]) -> str:
    """Return for some result ids, a line each, where they stand, of which event they are and where that stands."""
    wanted = set(sorted(ids)[:_SHOWN])
    places: dict[str, list[str]] = defaultdict(list)
    kinds: dict[str, str] = {}
    targets: dict[str, str] = {}
    for message in _records(kafka, results):
        headers = {name: (value or b"").decode() for name, value in message.headers() or ()}
        identity = headers.get("result_id", "")
        if identity in wanted:
            places[identity].append(_place(message))
            properties = json.loads(json.loads(message.value() or b"{}")["properties"])
            kinds[identity] = f"{properties['$ai_evaluation_runtime']} {headers['evaluation_id']}"
            targets[identity] = properties["$ai_target_event_id"]
    sources: dict[str, list[str]] = defaultdict(list)
    for message in _records(kafka, events):
        sources[(message.key() or b"").decode()].append(_place(message))
    return "\n".join(
        f"{identity} ({kinds.get(identity, 'no result')}) at {places[identity]}, "
        f"of event {targets.get(identity)} at {sources.get(targets.get(identity, ''))}"
        for identity in sorted(wanted)
    )


def _place(message: Message) -> str:
    return f"[{message.partition()}]@{message.offset()} of {message.timestamp()[1]}"


def _records(kafka: str, topic: str) -> Iterator[Message]:
    """Yield what is committed of a topic, from its beginning to its end."""
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
        left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        end = time.monotonic() + _READ_S
        while left and time.monotonic() < end:
            for message in consumer.consume(5000, 0.3):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
    finally:
        consumer.close()
