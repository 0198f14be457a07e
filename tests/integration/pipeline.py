"""All roles in one process of the test, on a real Kafka, chdb and SQLite, over the bundled generations."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer
from prometheus_client import CollectorRegistry

from config.definitions import Evaluation, parse_draft
from config.settings import Settings
from processor.events.decision import DECISION_EVENT
from processor.events.identity import result_uuid, run_key
from processor.kafka import KafkaClients
from processor.metrics import Metrics
from processor.runtime.process import Runtime, RuntimeOptions, ServiceBuilder
from processor.runtime.setup import initialise
from storage.clickhouse import connect
from storage.sql.engine import open_store
from storage.sql.evaluations import Evaluations
from tests.services.cache import CHECKOUT
from tests.services.stored_results import result_ids
from tests.services.waiting import PATIENCE_S, until

TEAM = 1
GENERATIONS = CHECKOUT / "examples" / "generations"
SHORT = "let n := length(output)\nprint(f'{n} characters')\nreturn n < 500\n"


class Pipeline:
    """Settings, stores and clients of one test.

    Args:
        settings: laid over the defaults of the tests.
    """

    def __init__(self, broker: str, folder: Path, **settings: Any) -> None:
        run = uuid4().hex[:8]
        names = ("events", "results", "tasks", "parked", "measurements", "dead_letters")
        values: dict[str, Any] = {
            "data_dir": folder,
            "kafka": {
                "bootstrap_servers": broker,
                "group_prefix": f"pipeline-{run}",
                "topics": {name: f"{name}-{run}" for name in names},
                "partitions": 3,
                "session_timeout_s": 6,
            },
            "http": {"port": 0},
            "store": {"poll_interval_s": 0.1},
            "matcher": {"commit_interval_s": 0.1},
            "judge": {"commit_interval_s": 0.1},
            "sink": {"batch_interval_s": 0.2},
            "api": {"requests_per_minute": 1_000_000},  # a test that waits asks more often than a client should
        }
        for section, given in settings.items():
            values[section] = {**values.get(section, {}), **given} if isinstance(given, dict) else given
        self.settings = Settings.model_validate(values)
        self.database = open_store(self.settings)
        self.evaluations = Evaluations(self.database)
        self.clients = KafkaClients(self.settings)
        for finding in initialise(self.settings, self.clients, self.database):
            assert finding.ok, finding

    def evaluate(self, name: str = "Short", **changes: Any) -> str:
        """Store an enabled Hog evaluation; returns its id."""
        draft = {
            "name": name,
            "enabled": True,
            "evaluation_type": "hog",
            "evaluation_config": {"source": SHORT},
            "output_type": "boolean",
            "output_config": {},
            **changes,
        }
        return self.evaluations.create(TEAM, parse_draft(draft), actor="test", now=datetime.now(UTC)).id

    @contextmanager
    def running(
        self, roles: tuple[str, ...] = ("matcher", "sink"), *, beside: Mapping[str, ServiceBuilder] | None = None
    ) -> Iterator[Runtime]:
        """Run roles; they must end in order. `beside` builds those that are not stages."""
        runtime = Runtime(
            self.settings, roles, self.database, Metrics(CollectorRegistry()), RuntimeOptions(beside=beside or {})
        )
        runtime.start()
        try:
            yield runtime
        finally:
            code = runtime.stop()
        assert code == 0, runtime.errors()

    def produce(self, values: list[bytes], topic: str | None = None) -> None:
        """Write events, spread over the partitions."""
        producer = Producer({"bootstrap.servers": self.clients.bootstrap_servers, "message.max.bytes": 32 << 20})
        for number, value in enumerate(values):
            producer.produce(topic or self.settings.kafka.topics.events, value, key=str(number))
        assert producer.flush(PATIENCE_S) == 0

    def read(self, topic: str) -> list[Any]:
        """Return all committed records of a topic as it is now."""
        consumer = Consumer(
            {
                **self.clients.base("test"),
                "group.id": uuid4().hex,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )
        consumer.subscribe([topic])
        found: list[Any] = []
        ended: set[int] = set()
        end = time.monotonic() + PATIENCE_S
        while len(ended) < self.settings.kafka.partitions and time.monotonic() < end:
            for message in consumer.consume(500, 0.2):
                if message.error() is None:
                    found.append(message)
                else:
                    ended.add(message.partition())
        consumer.close()
        return found

    def results(self) -> Counter[str]:
        """Return how often each id is in the topic of results, read committed, without `decisions`."""
        return Counter(each["uuid"] for each in self._emitted() if each["event"] != DECISION_EVENT)

    def decisions(self) -> Counter[str]:
        """Return how often each id of a decision about a run is in the topic of results, read committed."""
        return Counter(each["uuid"] for each in self._emitted() if each["event"] == DECISION_EVENT)

    def _emitted(self) -> list[dict[str, Any]]:
        return [json.loads(message.value()) for message in self.read(self.settings.kafka.topics.results)]

    def stored(self) -> Counter[str]:
        """Return how often each result id is in ClickHouse."""
        client = connect(self.settings.clickhouse.dsn.get_secret_value())
        try:
            return Counter(result_ids(client))
        finally:
            client.close()  # chdb opens one folder per process: the next test has another

    def await_stored(self, expected: Counter[str]) -> None:
        """Wait until ClickHouse has `expected`, and say how far it came otherwise."""
        until(lambda: self.stored() == expected, lambda: f"{len(self.stored())} of {len(expected)} stored")


def knows(runtime: Runtime, evaluation: Evaluation) -> bool:
    """Return whether a running process judges by this state of an evaluation, or by a newer one."""
    snapshot = runtime._snapshots.current
    return snapshot is not None and snapshot.revision >= evaluation.revision


def generations() -> list[bytes]:
    """Return the bundled rows of team 1 that are generations."""
    rows = [line for path in sorted(GENERATIONS.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    return [row for row in rows if json.loads(row)["event"] == "$ai_generation" and json.loads(row)["team_id"] == TEAM]


def expected_ids(events: list[bytes], evaluation_id: str, **key: Any) -> Counter[str]:
    """Return the result ids of one Hog evaluation over `events`, by the specification."""
    return Counter(result_uuid(run_key("hog", evaluation_id, json.loads(event)["uuid"], **key)) for event in events)
