"""How a group spreads its partitions over the members: each topic over all of them."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Consumer
from confluent_kafka.cimpl import NewTopic

from config.settings import Settings
from processor.kafka import KafkaClients
from tests.services.topics import make_topics
from tests.services.waiting import PATIENCE_S

PARTITIONS = 8


def shares(consumers: list[Consumer], topics: list[str]) -> list[list[int]]:
    """Return, for each consumer, its number of partitions of each topic."""
    return [[sum(each.topic == topic for each in consumer.assignment()) for topic in topics] for consumer in consumers]


def test_every_judge_of_a_group_gets_tasks_and_parked_runs(kafka: str, tmp_path: Path) -> None:
    """By the broker's own choice one of two judges got all tasks and the other all parked runs."""
    run = uuid4().hex[:8]
    topics = [f"{run}-tasks", f"{run}-parked"]
    make_topics(kafka, *(NewTopic(topic, PARTITIONS) for topic in topics))
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "kafka": {"bootstrap_servers": kafka, "group_prefix": run, "group_protocol": "consumer"},
        }
    )
    with closing(KafkaClients(settings)) as clients:
        judges = [clients.consumer("judge") for _ in range(2)]
        try:
            for judge in judges:
                judge.subscribe(topics)
            deadline = time.monotonic() + PATIENCE_S
            while shares(judges, topics) != [[4, 4], [4, 4]] and time.monotonic() < deadline:
                for judge in judges:
                    judge.poll(0.05)
            assert shares(judges, topics) == [[4, 4], [4, 4]]
        finally:
            for judge in judges:
                judge.close()
