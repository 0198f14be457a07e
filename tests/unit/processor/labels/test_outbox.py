"""Labels leave the outbox once the brokers have confirmed their events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.cimpl import NewTopic
from prometheus_client import CollectorRegistry
from sqlalchemy import select, update
from structlog.testing import capture_logs

from config.settings import load_settings
from processor.events.confirmed import ConfirmedProducer
from processor.kafka import EmbeddedBroker, KafkaClients
from processor.labels.outbox import LabelSender
from processor.metrics import Metrics
from storage.sql.engine import Database, StoreUnavailable, open_database
from storage.sql.labels import Labels, NewLabel, label_outbox
from storage.sql.migrations import upgrade
from tests.services.topics import make_topics
from tests.services.waiting import PATIENCE_S


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(found)
    return found


def test_a_label_is_sent_once_and_counted(database: Database) -> None:
    new = [
        NewLabel(
            evaluation_id="e", question=1, target_event_id=f"t{number}", verdict={"applicable": True, "result": True},
            labeller="ann", source="import",
        )
        for number in range(3)
    ]  # fmt: skip
    stored = Labels(database).add(7, new, actor="cli", now=datetime.now(UTC))
    settings = load_settings(environ={}, overrides={})
    broker = EmbeddedBroker()
    metrics = Metrics(CollectorRegistry())
    clients = KafkaClients(settings, broker)
    sender = LabelSender(settings, database, clients, metrics)
    assert sender.send_some() == 3
    assert sender.send_some() == 0
    assert metrics.registry.get_sample_value("gavel_labels_total", {"source": "import"}) == 3
    consumer = Consumer({
        "bootstrap.servers": broker.bootstrap_servers, "group.id": "t", "auto.offset.reset": "earliest",
    })  # fmt: skip
    consumer.subscribe([settings.kafka.topics.results])
    seen = []
    while len(seen) < 3:
        message = consumer.poll(PATIENCE_S)
        assert message is not None, "a label did not arrive"
        assert message.error() is None, message.error()
        row = json.loads(message.value())
        seen.append(json.loads(row["properties"])["$ai_label_id"])
        assert (row["event"], row["team_id"]) == ("$ai_evaluation_label", 7)
    assert set(seen) == {label.id for label in stored}
    consumer.close()
    clients.close()
    database.close()


def test_a_label_that_the_broker_refuses_holds_up_no_other(kafka: str, database: Database, tmp_path: Path) -> None:
    topic = f"labels-{tmp_path.name}"
    make_topics(kafka, NewTopic(topic, 1, 1, config={"max.message.bytes": "4000"}))
    comments = ["", "".join(map(chr, range(0x4E00, 0x4E00 + 9000))), ""]
    new = [
        NewLabel(
            evaluation_id="e", question=1, target_event_id=f"t{number}", verdict={"applicable": True, "result": True},
            labeller="ann", source="import", comment=comment,
        )
        for number, comment in enumerate(comments)
    ]  # fmt: skip
    stored = Labels(database).add(7, new, actor="cli", now=datetime.now(UTC))
    one_by_one = {"linger.ms": 0, "batch.num.messages": 1}  # the broker refuses a batch, and not a message of it
    topics = {"results": topic}
    given = {"kafka": {"bootstrap_servers": kafka, "topics": topics, "extra": one_by_one}}
    settings, metrics = load_settings(environ={}, overrides=given), Metrics(CollectorRegistry())
    sender = LabelSender(settings, database, KafkaClients(settings), metrics)
    with capture_logs() as logged:
        assert sender.send_some() == 3
    assert [(each["event"], each["label_id"]) for each in logged] == [("label_refused", stored[1].id)]
    assert metrics.registry.get_sample_value("gavel_labels_total", {"source": "import"}) == 2
    with database.read() as connection:
        assert list(connection.scalars(select(label_outbox.c.seq))) == [stored[1].seq], "it is tried again"
    database.close()


class Losing:
    """A producer that loses one of the messages."""

    def __init__(self, _: object) -> None:
        self._reports: list[Any] = []

    def produce(self, *_: Any, on_delivery: Any, **__: Any) -> None:
        self._reports.append(on_delivery)

    def poll(self, _: float) -> int:
        lost = KafkaError(KafkaError._MSG_TIMED_OUT)
        for number, report in enumerate(self._reports):
            report(lost if number == 1 else None, None)
        self._reports.clear()
        return 0

    def __len__(self) -> int:
        return len(self._reports)


def test_labels_of_which_one_is_not_confirmed_are_all_sent_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their events have the same ids, so the ones that had arrived are there once."""
    new = [
        NewLabel(
            evaluation_id="e", question=1, target_event_id=f"t{number}", verdict={"unsure": True}, labeller="ann",
            source="import",
        )
        for number in range(3)
    ]  # fmt: skip
    Labels(database).add(7, new, actor="cli", now=datetime.now(UTC))
    metrics, settings = Metrics(CollectorRegistry()), load_settings(environ={}, overrides={})
    sender = LabelSender(settings, database, KafkaClients(settings, EmbeddedBroker()), metrics)
    with monkeypatch.context() as patch:
        patch.setattr("processor.events.confirmed.Producer", Losing)
        with pytest.raises(KafkaException, match="MSG_TIMED_OUT"):
            sender.send_some()
    assert metrics.registry.get_sample_value("gavel_labels_total", {"source": "import"}) is None
    assert sender.send_some() == 0, "they wait, so that no other process sends them at the same time"
    with database.write() as connection:
        connection.execute(update(label_outbox).values(claimed_until=None))
    sender._producer = ConfirmedProducer(KafkaClients(settings, EmbeddedBroker()).producer_config)
    assert sender.send_some() == 3
    assert metrics.registry.get_sample_value("gavel_labels_total", {"source": "import"}) == 3
    database.close()


def test_an_outage_of_the_store_is_said_once_and_not_every_second(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.labels.outbox._LOOK_INTERVAL_S", 0.001)
    settings = load_settings(environ={}, overrides={})
    with capture_logs() as lines:
        sender = LabelSender(settings, database, KafkaClients(settings, EmbeddedBroker()), Metrics(CollectorRegistry()))
        answers = iter(["away"] * 5 + ["there"] + ["away"] * 5)
        ended = Event()

        def send() -> int:
            answer = next(answers, "over")
            if answer == "over":
                ended.set()
            if answer == "away":
                raise StoreUnavailable("the definition store does not answer")
            return 0

        monkeypatch.setattr(sender, "send_some", send)
        sender.start()
        assert ended.wait(PATIENCE_S)
        sender.stop()
    assert [line["event"] for line in lines] == ["labels_wait", "labels_wait"], "one line for each of two outages"
    database.close()
