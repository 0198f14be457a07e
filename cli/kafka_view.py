"""Kafka as its admin API shows it: topics, groups, and how far each group is behind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from config.settings import Settings
    from processor.kafka_access import AdminWithCauses

KAFKA_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class KafkaView:
    """The answer of the brokers.

    Attributes:
        missing: configured topics that do not exist.
        hidden: configured topics that this user may not see.
        lacking: rights on topics that this user lacks, such as `Write on gavel-results`.
        refused: what is wrong with topics that take no records, because too few of their replicas are in sync.
        partitions: configured topic → number of partitions.
        lag: role → topic → records that its group has not committed.
        groups: role → state of its group and number of members; empty where the broker does not say.
        dead_letters: records in the topic of dead letters, closed ones and marks included.
    """

    brokers: int
    missing: list[str]
    partitions: dict[str, int]
    lag: dict[str, dict[str, int]]
    groups: dict[str, tuple[str, int]]
    dead_letters: int
    hidden: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def open_clients(settings: Settings) -> AdminWithCauses:
    """Return an admin client that gives up soon."""
    from processor.kafka import KafkaClients
    from processor.kafka_access import AdminWithCauses

    options = KafkaClients(settings).base("status")
    return AdminWithCauses({**options, "socket.timeout.ms": int(KAFKA_WITHIN_S * 1000)})


def view(asking: AdminWithCauses, settings: Settings) -> KafkaView:
    """Return what the brokers say.

    Raises:
        KafkaException: no broker answers, or it refuses.
    """
    from processor.kafka_access import forbidden_topics, missing_rights, rights_needed
    from processor.role_topics import topics_read
    from processor.topic_settings import refused_for_replicas

    admin = asking.admin
    metadata = asking.list_topics(KAFKA_WITHIN_S)
    topics = settings.kafka.topics
    missing = [name for _, name in topics if name not in metadata.topics]
    hidden = forbidden_topics(admin, missing)
    there = {name: len(metadata.topics[name].partitions) for _, name in topics if name in metadata.topics}
    ends = _places(admin, there, latest=True)
    dead = {name: count for name, count in there.items() if name == topics.dead_letters}
    begins = _places(admin, dead, latest=False)
    reads = {role: topics_read(settings, role) for role in ("matcher", "judge", "sink")}
    lag = {role: _lag(admin, settings.kafka.group(role), names, ends) for role, names in reads.items()}
    letters = sum(end - begins.get(source, 0) for source, end in ends.items() if source[0] == topics.dead_letters)
    return KafkaView(
        brokers=len(metadata.brokers),
        missing=[name for name in missing if name not in hidden],
        hidden=hidden,
        lacking=missing_rights(
            admin, {name: need for name, need in rights_needed(settings).items() if name in there}, KAFKA_WITHIN_S
        ),
        refused=refused_for_replicas(admin, metadata, [name for _, name in topics], KAFKA_WITHIN_S),
        partitions=there,
        lag={role: found for role, found in lag.items() if found},
        groups=_groups(admin, {role: settings.kafka.group(role) for role in reads}),
        dead_letters=letters,
    )


def _places(admin: AdminClient, partitions: dict[str, int], *, latest: bool) -> dict[tuple[str, int], int]:
    """Return the last or the first offset of each partition."""
    from confluent_kafka import TopicPartition
    from confluent_kafka import admin as kafka_admin

    if not partitions:
        return {}
    spec: Any = vars(kafka_admin)["OffsetSpec"]  # the package documents it, and does not export its type
    wanted = spec.latest() if latest else spec.earliest()
    asked = admin.list_offsets(
        {TopicPartition(name, number): wanted for name, count in partitions.items() for number in range(count)},
        request_timeout=KAFKA_WITHIN_S,
    )
    return {(place.topic, place.partition): found.result().offset for place, found in asked.items()}


def _lag(admin: AdminClient, group: str, topics: list[str], ends: dict[tuple[str, int], int]) -> dict[str, int]:
    """Return how many records of each topic the group has not committed; without those whose place nobody knows."""
    from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException

    found: dict[str, int] = {}
    with suppress(KafkaException):  # the group does not exist yet
        asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=KAFKA_WITHIN_S)
        for place in asked[group].result().topic_partitions:
            source = (place.topic, place.partition)
            if place.topic in topics and place.offset >= 0 and source in ends:
                found[place.topic] = found.get(place.topic, 0) + max(0, ends[source] - place.offset)
    return found


def _groups(admin: AdminClient, groups: dict[str, str]) -> dict[str, tuple[str, int]]:
    from confluent_kafka import KafkaException

    asked: dict[str, Any] = {}
    with suppress(KafkaException):
        asked = admin.describe_consumer_groups(list(groups.values()), request_timeout=KAFKA_WITHIN_S)
    found: dict[str, tuple[str, int]] = {}
    for role, group in groups.items():
        with suppress(KafkaException, KeyError):
            described = asked[group].result()
            found[role] = described.state.name.lower(), len(described.members)
    return found
