"""A broker that refuses says why, and Gavel passes it on: `check`, `init` and `status` say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from api.services.task_sender import TaskNotSent, TaskSender
from cli.findings import find_problems
from cli.overview import Gatherer
from cli.serving import ProcessParts, refuse_missing_topics
from config.settings import Settings, load_settings
from processor.events.output import Output
from processor.events.task import Task
from processor.kafka import KafkaClients
from processor.kafka_topics import ensure_topics, missing_topics
from processor.runtime.logs import RecentProblems
from processor.runtime.setup import Finding, initialise, inspect
from processor.stream.deadline import Deadline
from processor.stream.transactions import CommitAborted, CommitFailed, Transactions
from storage.sql.engine import open_store
from tests.services.kafka import KafkaServer
from tests.services.topics import make_topics
from tests.services.waiting import PATIENCE_S, until

TASK = Task(7, "e", "u", "k", "", "2026-01-01T00:00:00+00:00", trigger="manual")
CLOSED = "http://u:p@127.0.0.1:1/gavel"


@pytest.fixture(scope="module")
def secured() -> Iterator[KafkaServer]:
    with KafkaServer(users={"gavel": "right", "stranger": "right", "writer": "right", "latecomer": "right"}) as server:
        yield server


def settings_of(server: KafkaServer, folder: Path, user: str, password: str) -> Settings:
    return load_settings(
        environ={
            "GAVEL_DATA_DIR": str(folder),
            "GAVEL_CLICKHOUSE__DSN": CLOSED,
            "GAVEL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{server.secured_port}",
            "GAVEL_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "GAVEL_KAFKA__SASL_MECHANISM": "PLAIN",
            "GAVEL_KAFKA__SASL_USERNAME": user,
            "GAVEL_KAFKA__SASL_PASSWORD": password,
        }
    )


def kafka_of(findings: list[Finding]) -> str:
    [found] = [each for each in findings if each.subject == "kafka"]
    assert not found.ok
    return f"{found.detail} -> {found.remedy}"


def in_status(settings: Settings) -> str:
    with closing(open_store(settings)) as database, closing(Gatherer(settings, database)) as gatherer:
        problems = find_problems(gatherer.gather())
    return "; ".join(f"{each.what} -> {each.remedy}" for each in problems if each.where == "kafka")


def checked(settings: Settings) -> str:
    with closing(open_store(settings)) as database:
        return kafka_of(inspect(settings, KafkaClients(settings), database))


def test_a_wrong_password_is_told_from_a_broker_that_is_away(secured: KafkaServer, tmp_path: Path) -> None:
    settings = settings_of(secured, tmp_path, "gavel", "wrong")
    with pytest.raises(KafkaException, match="Authentication failed"):
        missing_topics(KafkaClients(settings), settings, timeout_s=3.0)
    for told in (checked(settings), in_status(settings)):
        assert "Authentication failed" in told
        assert "sasl_password" in told


def test_topics_that_a_user_may_not_see_are_not_called_missing(secured: KafkaServer, tmp_path: Path) -> None:
    settings = settings_of(secured, tmp_path, "stranger", "right")
    told = checked(settings)
    assert "may not see the topics clickhouse_ai_events_json" in told
    assert "gavel init" not in told, "it would not help"
    with closing(open_store(settings)) as database:
        made = kafka_of(initialise(settings, KafkaClients(settings), database))
    assert "may not make the topic" in made
    assert made.endswith("-> "), "it does not send the reader in a circle"
    assert "may not see the topics" in in_status(settings)


def test_rights_on_topics_without_those_on_groups_are_not_enough(secured: KafkaServer, tmp_path: Path) -> None:
    settings = settings_of(secured, tmp_path, "gavel", "right")
    admin = AdminClient({"bootstrap.servers": secured.bootstrap_servers})
    everything: Any = (ResourcePatternType.LITERAL, "User:gavel", "*", AclOperation.ALL, AclPermissionType.ALLOW)
    for kind, name in ((ResourceType.TOPIC, "*"), (ResourceType.BROKER, "kafka-cluster")):
        for future in admin.create_acls([AclBinding(kind, name, *everything)]).values():
            future.result()
    ensure_topics(KafkaClients(settings), settings)
    assert "may not use the consumer groups gavel-matcher" in checked(settings)


def grant(
    server: KafkaServer, kind: ResourceType, name: str, operation: Any, permission: Any, *, user: str = "writer"
) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
    binding = AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, permission)
    for future in admin.create_acls([binding]).values():
        future.result()


def test_a_right_to_write_that_was_taken_away_is_named(secured: KafkaServer, tmp_path: Path) -> None:
    """By `check`, by `status`, and by the role that ends: the client says only that its state is erroneous."""
    settings = settings_of(secured, tmp_path, "writer", "right")
    kinds = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
    for kind, name in (*((kind, "*") for kind in kinds), (ResourceType.BROKER, "kafka-cluster")):
        grant(secured, kind, name, AclOperation.ALL, AclPermissionType.ALLOW)
    clients = KafkaClients(settings)

    def allowed() -> bool:  # a broker takes a moment to know a right
        with closing(open_store(settings)) as database:
            return initialise(settings, clients, database)[0].ok and inspect(settings, clients, database)[0].ok

    until(allowed, lambda: checked(settings))
    assert in_status(settings) == ""
    results = settings.kafka.topics.results
    grant(secured, ResourceType.TOPIC, results, AclOperation.WRITE, AclPermissionType.DENY)
    until(lambda: f"Write on {results}" in in_status(settings), lambda: in_status(settings))
    assert f"Write on {results}" in checked(settings)
    with closing(open_store(settings)) as database:
        parts = ProcessParts(settings, database, RecentProblems(), None, None, None)
        refuse_missing_topics(parts, ["sink"])
        with pytest.raises(typer.Exit):
            refuse_missing_topics(parts, ["matcher"])
    transactions = Transactions(clients.transactional_config("matcher"))
    output = Output("result", results, b"key", b"value", [])
    with pytest.raises((CommitFailed, CommitAborted), match=f"refused before: .*{results}.*authorization failed"):
        transactions.send([output], [], None, Deadline(PATIENCE_S)).wait(Deadline(PATIENCE_S))


def test_a_task_is_sent_once_its_sender_may_write_without_a_restart(secured: KafkaServer, tmp_path: Path) -> None:
    """A producer without any right to write fails for good at its first message."""
    topic = "tasks-of-a-latecomer"
    kafka = settings_of(secured, tmp_path, "latecomer", "right").kafka
    kafka = kafka.model_copy(update={"topics": kafka.topics.model_copy(update={"tasks": topic})})
    make_topics(secured.bootstrap_servers, NewTopic(topic, 1, 1))
    grant(secured, ResourceType.TOPIC, topic, AclOperation.DESCRIBE, AclPermissionType.ALLOW, user="latecomer")
    sender = TaskSender(kafka)
    told: list[str] = []

    def sent() -> bool:
        try:
            sender.send(TASK, b"{}")
        except TaskNotSent as error:
            told.append(str(error))
            return False
        return True

    assert not sent()
    grant(secured, ResourceType.TOPIC, topic, AclOperation.WRITE, AclPermissionType.ALLOW, user="latecomer")
    until(sent, lambda: told)
    assert "CLUSTER_AUTHORIZATION_FAILED" in told[0]
    sender.close()


def test_settings_of_topics_that_lose_or_refuse_records_are_found(kafka: str, tmp_path: Path) -> None:
    names = {name: f"unfit-{name}-{tmp_path.name}" for name in ("tasks", "parked", "results")}
    config = {
        "tasks": {"cleanup.policy": "compact"},
        "parked": {"retention.ms": "3600000"},
        "results": {"max.message.bytes": "1000000"},
    }
    make_topics(kafka, *(NewTopic(names[name], 1, 1, config=values) for name, values in config.items()))
    topics = {f"GAVEL_KAFKA__TOPICS__{name.upper()}": value for name, value in names.items()}
    settings = load_settings(
        environ={
            **topics,
            "GAVEL_DATA_DIR": str(tmp_path),
            "GAVEL_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "GAVEL_CLICKHOUSE__DSN": CLOSED,
        }
    )
    clients = KafkaClients(settings)
    ensure_topics(clients, settings, make_events_topic=True)
    with closing(open_store(settings)) as database:
        [found] = [each for each in inspect(settings, clients, database) if each.subject == "topics"]
    assert not found.ok
    for words in (f"{names['tasks']}: cleanup.policy", f"{names['parked']}: retention.ms", f"{names['results']}: max"):
        assert words in found.detail
    assert found.detail.count("topic ") == 3, "the topics that `gavel init` makes are sound"
