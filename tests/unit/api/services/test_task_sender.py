"""A run that no broker takes is refused while the client still waits."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer

from api.services.task_sender import TaskNotSent, TaskSender
from config.settings import Kafka, Settings
from ingest.delivery import producer_options
from processor.events import confirmed
from processor.events.task import Task
from processor.kafka import KafkaClients
from tests.services.ports import free_ports


class AnyTask:
    """Has what a message needs."""

    def key(self) -> bytes:
        return b"1"

    def headers(self) -> list[tuple[str, bytes]]:
        return []


def test_the_answer_does_not_wait_for_the_timeout_of_the_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The roles retry for 30 s, and a client of the API does not."""
    asked: list[dict[str, Any]] = []

    def producer(options: dict[str, Any]) -> Producer:
        asked.append(dict(options))
        return Producer({**options, "message.timeout.ms": 50, "enable.idempotence": False})

    monkeypatch.setattr(confirmed, "Producer", producer)
    (port,) = free_ports(1)
    sender = TaskSender(Kafka(bootstrap_servers=f"127.0.0.1:{port}"))
    task: Task = AnyTask()
    with pytest.raises(TaskNotSent):
        sender.send(task, b"{}")
    assert asked[0]["message.timeout.ms"] == 5000
    sender.close()
    roles = KafkaClients(Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1")), None).producer_config()
    door = producer_options(Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1")), None)
    for name in ("enable.idempotence", "acks", "linger.ms", "compression.type"):
        assert asked[0][name] == roles[name] == door[name], name
