"""The producer waits for all replicas, its end is the end of the process, and delivered events are remembered."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError
from prometheus_client import CollectorRegistry

from config.settings import Settings
from ingest import delivery
from ingest.delivery import Delivery, producer_options
from processor.metrics import Metrics


def made(ends: list[str] | None = None) -> Delivery:
    ends = [] if ends is None else ends
    return Delivery({}, probe_topic="t", metrics=Metrics(CollectorRegistry()), on_fatal=ends.append)


def test_the_producer_waits_for_all_replicas_and_not_longer_than_a_client(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path})
    options = producer_options(settings, "127.0.0.1:9092")
    wanted = {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 8000}
    assert wanted.items() <= options.items()


def test_five_seconds_without_an_acknowledgement_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(delivery, "monotonic", lambda: now[0])
    door = made()
    now[0] += 5
    assert not door.failing
    now[0] += 0.1
    assert door.failing
    door._note(acknowledged=False)
    assert door.failing
    door._note(acknowledged=True)
    assert not door.failing


def test_only_an_error_that_is_fatal_ends_the_process() -> None:
    ends: list[str] = []
    door = made(ends)
    other: Any = SimpleNamespace(fatal=lambda: False, str=lambda: "a broker is down")
    door._on_error(other)
    assert ends == []
    door._on_error(KafkaError(KafkaError._FATAL, "fenced", fatal=True))
    assert ends == ["fenced"]
