"""librdkafka's reports as metrics."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from prometheus_client import CollectorRegistry

from processor.kafka_statistics import brokers_away, statistics_to
from processor.metrics import Metrics


def report(timeouts: int, *, gone: Collection[str] = ()) -> str:
    brokers: dict[str, dict[str, Any]] = {
        "one/1": {"nodeid": 1, "state": "UP", "txerrs": 2, "rxerrs": 1, "req_timeouts": timeouts, "rtt": {"avg": 1500}},
        "two/2": {"nodeid": 2, "state": "TRY_CONNECT", "rtt": {"avg": 4000}},
        "GroupCoordinator": {"nodeid": -1, "state": "UP", "rtt": {"avg": 900_000}},
    }
    for name in gone:
        brokers[name]["state"] = "TRY_CONNECT"
    topics = {"events": {"partitions": {"0": {"fetchq_cnt": 7, "fetchq_size": 700}, "-1": {}}}}
    return json.dumps({"name": "x", "msg_cnt": 5, "msg_size": 50, "brokers": brokers, "topics": topics, "unknown": [1]})


def test_a_report_sets_the_figures_of_its_client_and_counts_what_came_since_the_last_one() -> None:
    registry = CollectorRegistry()
    callback = statistics_to(Metrics(registry))
    consumer, producer = callback("judge", "consumer"), callback("judge", "producer")
    for timeouts in (4, 6):
        consumer(report(timeouts))
        producer(report(timeouts))

    def value(name: str, client: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"role": "judge", "client": client, **labels})

    assert [value("gavel_kafka_queue_messages", each) for each in ("consumer", "producer")] == [7, 5]
    assert [value("gavel_kafka_queue_bytes", each) for each in ("consumer", "producer")] == [700, 50]
    assert value("gavel_kafka_brokers_up", "consumer") == 1
    assert value("gavel_kafka_broker_seconds", "consumer") == 0.004
    assert value("gavel_kafka_errors_total", "producer", kind="timeout") == 6
    assert value("gavel_kafka_errors_total", "producer", kind="request") == 3


def test_a_client_without_any_connection_says_that_the_brokers_are_away() -> None:
    metrics = Metrics(CollectorRegistry())
    consumer = statistics_to(metrics)("judge", "consumer")
    assert not brokers_away(metrics, "judge"), "nothing was reported yet"
    consumer(report(0, gone=["one/1"]))
    assert not brokers_away(metrics, "judge"), "an idle client has its coordinator alone"
    consumer(report(0, gone=["one/1", "GroupCoordinator"]))
    assert brokers_away(metrics, "judge")
    consumer(report(0))
    assert not brokers_away(metrics, "judge")
