"""librdkafka's own figures as metrics: queues, brokers, round trips and failed requests of each client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from processor.metrics import Metrics

EVERY_MS = 5_000
"""How often librdkafka reports, and so how soon a process knows that no broker is there.

A report of a client with a hundred partitions takes a millisecond to read."""
Client = Literal["consumer", "producer"]


class _Window(msgspec.Struct):
    avg: int = 0


class _Broker(msgspec.Struct):
    nodeid: int = -1
    state: str = ""
    txerrs: int = 0
    rxerrs: int = 0
    req_timeouts: int = 0
    rtt: _Window = msgspec.field(default_factory=_Window)


class _Partition(msgspec.Struct):
    fetchq_cnt: int = 0
    fetchq_size: int = 0


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition] = {}  # msgspec makes a new one for each


class _Report(msgspec.Struct):
    msg_cnt: int = 0
    msg_size: int = 0
    brokers: dict[str, _Broker] = {}  # msgspec makes a new one for each
    topics: dict[str, _Topic] = {}  # msgspec makes a new one for each


_read = msgspec.json.Decoder(_Report).decode


def brokers_away(metrics: Metrics, role: str) -> bool:
    """Return whether the consumer of a role is connected to no broker, as of its last report."""
    return metrics.value("gavel_kafka_brokers_up", role=role, client="consumer") == 0


def statistics_to(metrics: Metrics) -> Callable[[str, Client], Callable[[str], None]]:
    """Return a function that makes the callback for the reports of one client of a role."""

    def callback(role: str, client: Client) -> Callable[[str], None]:
        before = {"request": 0, "timeout": 0}

        def report(text: str) -> None:
            found = _read(text)
            brokers = [broker for broker in found.brokers.values() if broker.nodeid >= 0]
            partitions = [each for topic in found.topics.values() for each in topic.partitions.values()]
            consumer = client == "consumer"
            messages = sum(each.fetchq_cnt for each in partitions) if consumer else found.msg_cnt
            size = sum(each.fetchq_size for each in partitions) if consumer else found.msg_size
            metrics.set("gavel_kafka_queue_messages", messages, role=role, client=client)
            metrics.set("gavel_kafka_queue_bytes", size, role=role, client=client)
            slowest_us = max((broker.rtt.avg for broker in brokers), default=0)
            metrics.set("gavel_kafka_broker_seconds", slowest_us / 1_000_000, role=role, client=client)
            # A client that fetches nothing may have a connection to its group's coordinator alone.
            coordinated = any(broker.state == "UP" for broker in found.brokers.values())
            up = max(sum(broker.state == "UP" for broker in brokers), coordinated)
            metrics.set("gavel_kafka_brokers_up", up, role=role, client=client)
            now = {
                "request": sum(broker.txerrs + broker.rxerrs for broker in brokers),
                "timeout": sum(broker.req_timeouts for broker in brokers),
            }
            for kind, total in now.items():
                metrics.count("gavel_kafka_errors", max(0, total - before[kind]), role=role, client=client, kind=kind)
            before.update(now)

        return report

    return callback
