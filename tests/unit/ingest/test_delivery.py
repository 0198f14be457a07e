"""The producer waits for all replicas, and delivered events are remembered."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from config.settings import Settings
from ingest import delivery
from ingest.delivery import Delivery, producer_options
from processor.events.output import Output
from processor.metrics import Metrics
from tests.services.ports import free_ports


def made(options: dict[str, Any] | None = None) -> Delivery:
    return Delivery(options or {}, probe_topic="t", metrics=Metrics(CollectorRegistry()), on_fatal=lambda _reason: None)


def test_the_producer_waits_for_all_replicas_and_not_longer_than_a_client(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path})
    options = producer_options(settings, "127.0.0.1:9092")
    wanted = {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 8000}
    assert wanted.items() <= options.items()


def test_what_becomes_of_a_message_after_its_loop_was_closed_is_nobodys_concern(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that was stopped while no broker answered ended with a traceback."""
    monkeypatch.setattr(delivery, "ANSWER_TIMEOUT_S", 0.1)
    (port,) = free_ports(1)
    options = {"bootstrap.servers": f"127.0.0.1:{port}", "message.timeout.ms": 400, "log_level": 0}
    door = made(options)
    with ThreadPoolExecutor(1) as other:
        message = Output("event", "events", b"k", b"v", [])
        assert other.submit(lambda: asyncio.run(door.send([message]))).result() == [False]
    assert door.close(60.0) == 0


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
