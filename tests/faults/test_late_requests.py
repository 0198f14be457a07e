"""A request that a broken connection left behind reaches the broker late, when its transaction is long over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.cimpl import NewTopic

import processor.stream.transactions
from processor.events.output import Output
from processor.stream.committer import TransactionalCommitter
from processor.stream.deadline import Deadline
from processor.stream.ledger import Frontier
from tests.services.kafka import KafkaServer
from tests.services.tcp_proxy import TcpProxy
from tests.services.topics import make_topics
from tests.services.waiting import PATIENCE_S, until

EVENTS, RESULTS = "events", "results"
END_TXN = (26).to_bytes(2, "big")
"""The key of the request that ends a transaction, behind the four bytes of a request's length."""


@pytest.fixture
def broker(tcp_proxy: TcpProxy) -> Iterator[KafkaServer]:
    with KafkaServer(advertised_port=tcp_proxy.port) as server:
        tcp_proxy.forward_to(server.proxied_port)
        make_topics(server.bootstrap_servers, NewTopic(EVENTS, 1), NewTopic(RESULTS, 1))
        yield server


def consumer(address: str, **options: Any) -> Consumer:
    return Consumer({"bootstrap.servers": address, "group.id": uuid4().hex, "log_level": 0, **options})


def frontier(number: int) -> Frontier:
    output = Output("result", RESULTS, b"key", str(number).encode(), [])
    return Frontier([output], {(EVENTS, 0): number + 1}, 1)


def committed(address: str) -> list[bytes]:
    """Return the results that readers see: two, or more."""
    reader = consumer(address, **{"isolation.level": "read_committed"})
    reader.assign([TopicPartition(RESULTS, 0, 0)])
    found = [*reader.consume(2, PATIENCE_S), *reader.consume(100, 1.0)]
    reader.close()
    return [message.value() for message in found]


def keys(requests: Iterable[bytes]) -> list[bytes]:
    """Return the keys of the requests of Kafka's protocol that were sent on some connections."""
    found = []
    for sent in requests:
        while sent:
            found.append(sent[4:6])
            sent = sent[4 + int.from_bytes(sent[:4], "big") :]
    return found


def held_up(proxy: TcpProxy) -> type[Producer]:
    """Return a producer whose first commit is sent twice, once on a connection that breaks and is delivered late."""
    times: list[None] = []

    def abandon() -> None:
        until(lambda: END_TXN in keys(proxy.held()), "the commit is held up")
        proxy.abandon()

    class HeldUp(Producer):
        def commit_transaction(self, *arguments: Any) -> None:
            times.append(None)
            if len(times) == 1:
                self.flush(PATIENCE_S)  # or the outputs would be held up, and the commit would wait for them
                proxy.hold()
                threading.Thread(target=abandon).start()
            super().commit_transaction(*arguments)

    return HeldUp


def test_a_commit_that_arrives_twice_does_not_end_the_next_transaction(
    broker: KafkaServer, tcp_proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second copy comes when the next transaction is open: that must not be committed by it.

    The process that has it open dies then, and the next one makes its outputs again.
    """
    monkeypatch.setattr(processor.stream.transactions, "Producer", held_up(tcp_proxy))
    configuration = {"bootstrap.servers": tcp_proxy.address, "transactional.id": "late", "log_level": 0}
    group = consumer(broker.bootstrap_servers)
    died = TransactionalCommitter(configuration)
    died.begin(group, frontier(0), Deadline(PATIENCE_S)).wait(Deadline(PATIENCE_S))
    died.begin(group, frontier(1), Deadline(PATIENCE_S))
    while len(died._transactions.producer):
        died._transactions.producer.poll(0.1)
    assert END_TXN in keys(tcp_proxy.deliver())  # it was held up, and not something else
    time.sleep(1)
    lives = TransactionalCommitter(configuration)
    lives.begin(group, frontier(1), Deadline(PATIENCE_S)).wait(Deadline(PATIENCE_S))
    assert committed(broker.bootstrap_servers) == [b"0", b"1"]
