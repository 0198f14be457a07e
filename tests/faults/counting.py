"""Counts of results and dead letters, as readers see them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.services.waiting import PATIENCE_S

_OUTAGE = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT}


class Seen:
    """The committed records of the results and dead letter topics."""

    def __init__(self, kafka: str, topic: str) -> None:
        self.ids: Counter[str] = Counter()
        self.records: list[tuple[dict[str, str], bytes | None]] = []
        self._read: set[tuple[int | None, int | None]] = set()
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": uuid4().hex,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.message.max.bytes": 16 * 1024 * 1024,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in self._partitions(topic)])

    def _partitions(self, topic: str) -> list[int]:
        """Return the topic's partitions; of one that was just made, brokers may not know them at once."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            metadata = self._consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic]
            if metadata.error is None and metadata.partitions:
                return list(metadata.partitions)
            time.sleep(0.1)
        raise AssertionError(f"the broker does not know topic {topic}")

    def read(self, *, keep: bool = False) -> int:
        """Read the new records and return their number. `keep` keeps their headers and values too."""
        found = 0
        while messages := self._consumer.consume(5000, 0.3):
            for message in messages:
                if message.error() is not None:
                    assert message.error().retriable() or message.error().code() in _OUTAGE, message.error()
                    continue
                place = (message.partition(), message.offset())
                if place in self._read:
                    continue  # a client may fetch a record again when its broker died; the log holds it once
                self._read.add(place)
                found += 1
                headers = {name: (value or b"").decode() for name, value in message.headers() or ()}
                if "result_id" in headers:
                    self.ids[headers["result_id"]] += 1
                if keep:
                    self.records.append((headers, message.value()))
        return found

    def close(self) -> None:
        self._consumer.close()


@dataclass
class Count:
    """The counted results, compared with the expected ones.

    Attributes:
        events_twice: events that the load's own client wrote more than once; their results must be there as often.
            Looked for only if ids came more than once.
    """

    events_twice: int = 0
    expected: int = 0
    kafka: int = 0
    clickhouse: int = 0
    missing_in_kafka: list[str] = field(default_factory=list)
    missing_in_clickhouse: list[str] = field(default_factory=list)
    twice_in_kafka: list[str] = field(default_factory=list)
    twice_in_clickhouse: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> dict[str, list[str]]:
        """Which ids are wrong, by how; empty if every expected id was seen exactly once in both places."""
        return {name: value for name, value in vars(self).items() if isinstance(value, list) and value}

    @property
    def problems(self) -> dict[str, int]:
        """How many ids are wrong, by how."""
        return {name: len(ids) for name, ids in self.wrong.items()}
