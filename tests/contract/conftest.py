"""The broker that a contract test runs against: librdkafka's in-process one and a real Kafka alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from confluent_kafka.admin import NewTopic

from processor.kafka import EmbeddedBroker
from tests.services.topics import make_topics, remove_topics


class Broker:
    """A broker's address, and topics with names of their own."""

    def __init__(self, bootstrap_servers: str, make: Callable[[str], None]) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.made: list[str] = []
        self._make = make

    def topic(self, name: str) -> str:
        topic = f"{name}-{uuid4().hex[:8]}"
        self._make(topic)
        self.made.append(topic)
        return topic


@pytest.fixture(params=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "embedded":
        embedded = EmbeddedBroker()
        yield Broker(embedded.bootstrap_servers, embedded.create_topic)
        return
    address = request.getfixturevalue("kafka")

    made = Broker(address, lambda topic: make_topics(address, NewTopic(topic, num_partitions=4, replication_factor=1)))
    yield made
    remove_topics(address, made.made)
