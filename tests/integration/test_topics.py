"""The topics that `gavel init` makes on a real Kafka: not one for a slip of the pen, and dead letters that stay."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner

from cli.main import build_app
from config.settings import load_settings
from processor.kafka import KafkaClients
from processor.kafka_topics import EventsTopicMistyped, ensure_topics, missing_topics
from tests.services.topics import make_topics
from tests.services.waiting import PATIENCE_S, until


@pytest.fixture
def env(kafka: str, tmp_path: Path) -> dict[str, str]:
    run = uuid4().hex[:12]
    names = ("results", "tasks", "parked", "dead_letters", "windows", "windows_state")
    topics = {f"GAVEL_KAFKA__TOPICS__{name.upper()}": f"{name}-{run}" for name in names}
    return {
        "GAVEL_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "GAVEL_KAFKA__TOPICS__EVENTS": f"clickhouse_ai_event_json_{run}",
        "GAVEL_DATA_DIR": str(tmp_path),
        **topics,
    }


def test_a_slip_in_the_name_of_the_events_topic_makes_no_topic(env: dict[str, str]) -> None:
    meant = env["GAVEL_KAFKA__TOPICS__EVENTS"].replace("_event_", "_events_")
    admin = AdminClient({"bootstrap.servers": env["GAVEL_KAFKA__BOOTSTRAP_SERVERS"]})
    make_topics(env["GAVEL_KAFKA__BOOTSTRAP_SERVERS"], NewTopic(meant, 1, 1))
    settings = load_settings(environ=env)
    clients = KafkaClients(settings)
    with pytest.raises(EventsTopicMistyped, match=f"{meant}' does; correct kafka.topics.events"):
        ensure_topics(clients, settings)
    with pytest.raises(EventsTopicMistyped):
        missing_topics(clients, settings)
    for words in (["init"], ["check"], ["run"]):
        done = CliRunner().invoke(build_app(), words, env=env)
        assert done.exit_code == 1, words
        assert "correct kafka.topics.events" in done.output, words
        assert "run `gavel init`" not in done.output.replace("migrations", ""), "no hint leads to a second topic"
    assert settings.kafka.topics.events not in admin.list_topics(timeout=PATIENCE_S).topics
    done = CliRunner().invoke(build_app(), ["init", "--make-events-topic"], env=env)
    assert settings.kafka.topics.events in admin.list_topics(timeout=PATIENCE_S).topics, done.output


def test_a_name_that_differs_in_its_digits_is_no_slip(env: dict[str, str]) -> None:
    region = f"clickhouse_ai_events_json_region_{uuid4().hex[:6]}_"
    make_topics(env["GAVEL_KAFKA__BOOTSTRAP_SERVERS"], NewTopic(f"{region}1", 1, 1))
    settings = load_settings(environ={**env, "GAVEL_KAFKA__TOPICS__EVENTS": f"{region}2"})
    assert f"{region}2" in ensure_topics(KafkaClients(settings), settings)


def test_dead_letters_are_kept_for_as_long_as_the_setting_says(env: dict[str, str]) -> None:
    settings = load_settings(environ={**env, "GAVEL_DEAD_LETTERS__RETENTION_DAYS": "45"})
    ensure_topics(KafkaClients(settings), settings)
    admin = AdminClient({"bootstrap.servers": env["GAVEL_KAFKA__BOOTSTRAP_SERVERS"]})
    topic = ConfigResource(ResourceType.TOPIC, settings.kafka.topics.dead_letters)
    found: list[int] = []

    def described() -> bool:
        with suppress(KafkaException):  # the broker that is asked need not know a new topic at once
            found.append(int(admin.describe_configs([topic])[topic].result()["retention.ms"].value))
        return bool(found)

    until(described, lambda: "the topic was not described")
    assert found == [45 * 24 * 3600 * 1000]
