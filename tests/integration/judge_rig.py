"""Matcher and judge as they run in production, against real Kafka, a store and the stand-in provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer
from cryptography.fernet import Fernet
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from config.definitions import Evaluation, parse_draft
from config.provider_keys import ProviderKey
from config.settings import Settings
from processor.events.decision import DECISION_EVENT
from processor.events.identity import run_key
from processor.events.task import Task
from processor.kafka import KafkaClients
from processor.kafka_topics import ensure_topics
from processor.metrics import Metrics
from processor.runtime.process import Runtime
from storage.sql.engine import open_store
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade
from storage.sql.provider_keys import NewKey, ProviderKeys
from tests.integration.pipeline import knows
from tests.services.topics import remove_topics
from tests.services.waiting import PATIENCE_S, until

TEAM = 7


class JudgeRig:
    """A process of Gavel under test."""

    def __init__(self, kafka: str, folder: Path, base_url: str, *, poll_interval_s: float = 0.1, **judge: Any) -> None:
        self._run = run = uuid4().hex[:8]
        topics = {name: f"{name}-{run}" for name in ("events", "results", "tasks", "parked", "dead_letters")}
        self.settings = Settings.model_validate(
            {
                "data_dir": folder,
                "secret_keys": [Fernet.generate_key().decode()],
                "kafka": {
                    "bootstrap_servers": kafka,
                    "group_prefix": f"judge-{run}",
                    "topics": topics,
                    "partitions": 4,
                    "session_timeout_s": 6,
                },
                "http": {"port": 0},
                "store": {"dsn": f"sqlite:///{folder}/gavel.db", "poll_interval_s": poll_interval_s},
                "judge": {
                    "allowed_hosts": ["127.0.0.1"],
                    "retry_initial_s": 0.05,
                    "retry_max_s": 0.2,
                    "park_initial_s": 1.0,
                    "park_max_s": 4.0,
                    "breaker_probe_s": 0.3,
                    "commit_interval_s": 0.1,
                    **judge,
                },
            }
        )
        self.topics = self.settings.kafka.topics
        self.base_url = base_url
        self.database = open_store(self.settings)
        upgrade(self.database)
        self.keys = ProviderKeys.of(self.settings, self.database)
        self.evaluations = Evaluations(self.database)
        ensure_topics(KafkaClients(self.settings), self.settings)
        self.producer = Producer({"bootstrap.servers": kafka})
        self._readers: dict[str, tuple[Consumer, list[dict[str, Any]]]] = {}
        self._runtime: Runtime | None = None
        self.metrics = Metrics(CollectorRegistry())

    def start(self, roles: tuple[str, ...] = ("matcher", "judge")) -> None:
        self._runtime = Runtime(self.settings, roles, self.database, self.metrics)
        self._runtime.start()

    def stop(self) -> None:
        if self._runtime is not None:
            code, errors = self._runtime.stop(), self._runtime.errors()
            assert code == 0, errors
            self._runtime = None

    def close(self) -> None:
        try:
            self.stop()
        finally:
            for consumer, _ in self._readers.values():
                consumer.close()
            self.database.close()
            del self.producer  # its destructor ends its threads
            kafka = self.settings.kafka
            remove_topics(kafka.bootstrap_servers, (name for _, name in kafka.topics if name.endswith(self._run)))

    def add_key(self, api_key: str = "sk-good-0123456789", **fields: Any) -> ProviderKey:
        values: dict[str, Any] = {
            "provider": "custom",
            "name": "models",
            "base_url": self.base_url,
            "state": "ok",
            "set_as_active": True,
            **fields,
        }
        active, now = values.pop("set_as_active"), datetime.now(UTC)
        key = NewKey(api_key=SecretStr(api_key), **values)
        return self.keys.create(TEAM, key, actor="test", now=now, set_as_active=active)

    def add_evaluation(self, **fields: Any) -> str:
        draft = {
            "name": "polite",
            "enabled": True,
            "evaluation_type": "llm_judge",
            "evaluation_config": {"prompt": "The answer is polite."},
            "model_configuration": {"provider": "custom", "model": "m1"},
            **fields,
        }
        return self.evaluations.create(TEAM, parse_draft(draft), actor="test", now=datetime.now(UTC)).id

    def status(self, evaluation_id: str) -> tuple[str, str | None]:
        found = self.evaluations.get(TEAM, evaluation_id)
        return found.status, found.status_reason

    def send(self, output: str, **properties: Any) -> str:
        uuid, row = self.row(output, **properties)
        self.producer.produce(self.topics.events, json.dumps(row), key=uuid)
        assert self.producer.flush(PATIENCE_S) == 0
        return uuid

    def run(self, evaluation: str, output: str) -> str:
        """Ask for one run, as the API does."""
        found = self.evaluations.get(TEAM, evaluation)
        uuid, row = self.row(output)
        task = Task(
            team_id=TEAM,
            evaluation_id=evaluation,
            event_uuid=uuid,
            run_key=run_key("llm_judge", evaluation, uuid, manual_at_ms=1),
            condition_id="",
            started_at=datetime.now(UTC).isoformat(),
            trigger="manual",
            revision=found.revision,
            version=found.version,
        )
        headers: Any = task.headers()
        self.producer.produce(self.topics.tasks, json.dumps(row), key=task.key(), headers=headers)
        assert self.producer.flush(PATIENCE_S) == 0
        return uuid

    @staticmethod
    def row(output: str, **properties: Any) -> tuple[str, dict[str, Any]]:
        """Return a generation event with a uuid of its own."""
        uuid = str(uuid4())
        all_properties = {
            "$ai_trace_id": f"trace-{uuid}",
            "$ai_input": [{"role": "user", "content": f"Question {uuid}?"}],
            "$ai_output_choices": [{"role": "assistant", "content": output}],
            **properties,
        }
        row = {
            "uuid": uuid,
            "event": "$ai_generation",
            "properties": json.dumps(all_properties),
            "team_id": TEAM,
            "distinct_id": "someone",
            "timestamp": "2026-03-02 12:00:00.000000",
            "created_at": "2026-03-02 12:00:00.000000",
        }
        return uuid, row

    def records(self, topic: str) -> list[dict[str, Any]]:
        """Return all committed records of a topic so far, with value, headers and partition."""
        if topic not in self._readers:
            options = {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers,
                "group.id": uuid4().hex,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
            consumer = Consumer(options)
            consumer.subscribe([topic])
            self._readers[topic] = (consumer, [])
        consumer, found = self._readers[topic]
        for message in consumer.consume(1000, 0.3):
            assert message.error() is None, message.error()
            pairs: Any = message.headers() or ()
            headers = {name: (value or b"").decode() for name, value in pairs}
            found.append({"value": message.value(), "headers": headers, "partition": message.partition()})
        return found

    def results(self) -> list[dict[str, Any]]:
        """Return the properties of all results so far; decisions about runs are not among them."""
        found = []
        for record in self.records(self.topics.results):
            row = json.loads(record["value"])
            if row["event"] != DECISION_EVENT:
                found.append({**json.loads(row["properties"]), "uuid": row["uuid"]})
        return found

    def wait_for_results(self, count: int) -> list[dict[str, Any]]:
        self.wait(lambda: len(self.results()) >= count, f"{count} results")
        return self.results()

    def wait_until_known(self, evaluation: Evaluation) -> None:
        """Wait until the running roles judge by this state of an evaluation."""
        runtime = self._runtime
        assert runtime is not None
        self.wait(lambda: knows(runtime, evaluation), "the edit to be known")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        until(condition, lambda: f"{what}; results: {self.results()}")


@contextmanager
def judge_rig(kafka: str, folder: Path, base_url: str, **judge: Any) -> Iterator[JudgeRig]:
    rig = JudgeRig(kafka, folder, base_url, **judge)
    try:
        yield rig
    finally:
        rig.close()
