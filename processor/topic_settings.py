"""Settings and replicas of topics with which Gavel would lose records or be refused: found by `gavel check`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import KafkaError

from config.settings import Settings

_ASK_S = 10.0
_KEPT_FOR_EVER_MS = -1


def unfit_topics(admin: AdminClient, settings: Settings, names: Collection[str]) -> list[str]:
    """Return what is wrong with the settings of existing topics: what, where, and what to do.

    A broker that does not let this user read settings has no problems: `gavel run` needs no such right.

    Raises:
        KafkaException: the broker does not answer.
    """
    from confluent_kafka import admin as kafka_admin

    # The package names these in its documentation, and does not export their types.
    resource, topic = vars(kafka_admin)["ConfigResource"], vars(kafka_admin)["ResourceType"].TOPIC
    found: list[str] = []
    described = admin.list_topics(timeout=_ASK_S).topics
    asked = admin.describe_configs([resource(topic, name) for name in names], request_timeout=_ASK_S)
    for each, answer in asked.items():
        try:
            values = {name: entry.value for name, entry in answer.result().items()}
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                continue
            raise
        found += _problems_of(each.name, values, settings)
        if each.name in described:
            found += _without_replicas(described[each.name], int(values.get("min.insync.replicas") or 1))
    return found


def _without_replicas(topic: Any, wanted: int) -> Iterator[str]:
    """Kafka refuses writes to a partition while fewer than `wanted` of its replicas are in sync.

    Args:
        topic: its metadata.
    """
    lacking = [number for number, each in topic.partitions.items() if len(each.isrs) < min(wanted, len(each.replicas))]
    if lacking:
        yield (
            f"topic {topic.topic}: partitions {', '.join(map(str, sorted(lacking)))} have fewer replicas in sync than "
            f"min.insync.replicas={wanted}, so Kafka takes no records for them; bring the missing brokers back"
        )


def _problems_of(name: str, values: dict[str, Any], settings: Settings) -> Iterator[str]:
    topics = settings.kafka.topics
    if name in (topics.windows, topics.windows_state):
        return
    if "compact" in str(values.get("cleanup.policy", "")):
        yield (
            f"topic {name}: cleanup.policy={values['cleanup.policy']} removes records that were not read yet; set it "
            "to delete"
        )
    largest = int(values.get("max.message.bytes", settings.kafka.max_message_bytes))
    if name != topics.events and largest < settings.kafka.max_message_bytes:
        yield (
            f"topic {name}: max.message.bytes={largest} is below kafka.max_message_bytes "
            f"({settings.kafka.max_message_bytes}), so the broker would refuse large records; raise it, or lower the "
            "setting"
        )
    kept_ms = int(values.get("retention.ms", _KEPT_FOR_EVER_MS))
    if name in (topics.tasks, topics.parked) and 0 <= kept_ms < settings.judge.park_limit_s * 1000:
        yield (
            f"topic {name}: retention.ms={kept_ms} removes runs before judge.park_limit_s "
            f"({settings.judge.park_limit_s:g} s) is over; raise it, or lower the setting"
        )
