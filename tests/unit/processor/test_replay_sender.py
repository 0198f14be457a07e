"""A replay's batch is delivered before the next is worked through; only the commit goes on beside it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from confluent_kafka import TopicPartition

import processor.replay
from processor.deadline import Deadline
from processor.ledger import Output
from processor.replay import ReplayError, ReplaySender

OUTPUTS = [Output("results", b"k", b"v", [])] * 3
PLACE = [TopicPartition("events", 0, 7)]


class Broker:
    """A producer and a consumer that write down what is asked of them, and by which thread."""

    def __init__(self, undelivered: int = 0) -> None:
        self.undelivered = undelivered
        self.steps: list[tuple[str, bool]] = []

    def __getattr__(self, name: str) -> Any:
        def note(*_: Any, **__: Any) -> int:
            self.steps.append((name, threading.current_thread() is threading.main_thread()))
            return self.undelivered

        return note


def sender(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> ReplaySender:
    monkeypatch.setattr(processor.replay, "Producer", lambda _configuration: broker)
    made: Any = broker
    return ReplaySender({}, made)


def test_deliveries_are_waited_for_and_the_commit_is_left_to_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    pending = sender(monkeypatch, broker).begin(OUTPUTS, PLACE)
    pending.wait(Deadline(5.0))
    own = ["init_transactions", "begin_transaction", *["produce"] * 3, "flush", "consumer_group_metadata"]
    assert broker.steps == [
        *((name, True) for name in own),
        ("send_offsets_to_transaction", False),
        ("commit_transaction", False),
    ]


def test_what_is_not_delivered_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(undelivered=2)
    with pytest.raises(ReplayError, match="2 outputs"):
        sender(monkeypatch, broker).begin(OUTPUTS, PLACE)
    assert [name for name, _ in broker.steps][-1] == "flush"
