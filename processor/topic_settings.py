"""Settings and replicas of topics with which Gavel would lose records or be refused: for `gavel check` and `status`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import KafkaError

from config.settings import Settings

_ASK_S = 10.0
_KEPT_FOR_EVER_MS = -1
_OF_THE_BROKERS = ("__consumer_offsets", "__transaction_state")
"""No role commits while one of these takes no records."""


def unfit_topics(admin: AdminClient, settings: Settings, names: Collection[str]) -> list[str]:
    """Return what is wrong with the settings of existing topics: what, where, and what to do.

    A broker that does not let this user read settings has no problems: `gavel run` needs no such right.

    Raises:
        KafkaException: the broker does not answer.
    """
    metadata = admin.list_topics(timeout=_ASK_S)
    values = _settings_of(admin, names, _ASK_S)
    found = [problem for name, each in values.items() for problem in _problems_of(name, each, settings)]
    return found + refused_for_replicas(admin, metadata, names, _ASK_S)


def refused_for_replicas(admin: AdminClient, metadata: Any, names: Collection[str], within_s: float) -> list[str]:
    """Return which topics take no records because replicas are not in sync: Gavel's, and those of groups and commits.

    It asks the brokers for settings only if a replica is not in sync. Topics whose settings this user
    may not read are left out.

    Args:
        metadata: of the cluster.
        names: Gavel's topics.

    Raises:
        KafkaException: the broker does not answer.
    """
    there = {name: metadata.topics[name].partitions for name in (*names, *_OF_THE_BROKERS) if name in metadata.topics}
    short = [
        name for name, found in there.items() if any(len(each.isrs) < len(each.replicas) for each in found.values())
    ]
    values = _settings_of(admin, short, within_s) if short else {}
    return [
        problem
        for name, each in values.items()
        for problem in _without_replicas(metadata.topics[name], int(each.get("min.insync.replicas") or 1))
    ]


def _settings_of(admin: AdminClient, names: Collection[str], within_s: float) -> dict[str, dict[str, Any]]:
    """Return the settings of topics by name, without topics whose settings this user may not read."""
    from confluent_kafka import admin as kafka_admin

    # The package names these in its documentation, and does not export their types.
    resource, topic = vars(kafka_admin)["ConfigResource"], vars(kafka_admin)["ResourceType"].TOPIC
    asked = admin.describe_configs([resource(topic, name) for name in names], request_timeout=within_s)
    found: dict[str, dict[str, Any]] = {}
    for each, answer in asked.items():
        try:
            found[each.name] = {name: entry.value for name, entry in answer.result().items()}
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
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
