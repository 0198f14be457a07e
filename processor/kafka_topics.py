"""The topics that Gavel needs: whether they exist, and how they are made."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from time import sleep

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from config.settings import Settings
from processor.kafka import EmbeddedBroker, KafkaClients
from processor.kafka_access import AdminWithCauses, forbidden_topics, is_forbidden
from processor.stream.deadline import Deadline

_DAY_MS = 24 * 3_600 * 1000
_DIGITS = re.compile(r"\d+")
_SIMILAR = 0.93
"""Share of a name that another one has too: one letter of twenty is a slip."""


class TopicError(RuntimeError):
    """A topic that is missing or could not be made."""


class TopicForbidden(TopicError):
    """This user lacks a right; the message says which and what to do."""


class EventsTopicMistyped(TopicError):
    """The events topic does not exist, and another one has nearly its name; the message says what to do."""


def refuse_mistyped_events(existing: Collection[str], settings: Settings) -> None:
    """Return unless the events topic seems to be mistyped: applications write to it, so it usually exists before Gavel.

    Raises:
        EventsTopicMistyped: it is missing and a topic that is not Gavel's has nearly its name.
    """
    events = settings.kafka.topics.events
    ours = {name for _, name in settings.kafka.topics}
    # Names that differ in their digits only are meant, such as those of two regions.
    others = [name for name in existing if name not in ours and _DIGITS.sub("", name) != _DIGITS.sub("", events)]
    similar = get_close_matches(events, others, n=1, cutoff=_SIMILAR)
    if events not in existing and similar:
        raise EventsTopicMistyped(
            f"the events topic {events!r} does not exist, and {similar[0]!r} does; correct kafka.topics.events, or "
            "make a new topic with `gavel init --make-events-topic`"
        )


def ensure_topics(
    clients: KafkaClients,
    settings: Settings,
    embedded: EmbeddedBroker | None = None,
    *,
    make_events_topic: bool = False,
) -> list[str]:
    """Make the topics that do not exist yet.

    Args:
        make_events_topic: make the events topic also where its name seems to be mistyped.

    Returns:
        The names of those that were made.

    Raises:
        TopicError: the broker refused, or the events topic seems to be mistyped; says why.
    """
    names = [name for _, name in settings.kafka.topics]
    if embedded is not None:
        for name in names:
            embedded.create_topic(name)
        return names
    asking = AdminWithCauses(clients.base("admin"))
    admin = asking.admin
    existing = asking.list_topics(15).topics
    missing = [name for name in names if name not in existing]
    if not missing:
        return []
    if not make_events_topic:
        refuse_mistyped_events(existing, settings)
    kafka = settings.kafka
    wanted = [
        NewTopic(
            name,
            num_partitions=kafka.partitions,
            replication_factor=kafka.replication_factor,
            config={"max.message.bytes": str(kafka.max_message_bytes), **_topic_config(settings, name)},
        )
        for name in missing
    ]
    for name, future in admin.create_topics(wanted, operation_timeout=30).items():
        try:
            future.result()
        except KafkaException as error:
            if is_forbidden(error):
                raise TopicForbidden(
                    f"this user may not make the topic {name}; grant it Create on the topics of Gavel, or let an "
                    "administrator run `gavel init`"
                ) from error
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicError(
                    f"topic {name} could not be made: {error.args[0].str()}; mend the cause, and run `gavel init` again"
                ) from error
    _await_topics(admin, set(missing))
    return missing


def _await_topics(admin: AdminClient, made: set[str]) -> None:
    """Return when the broker lists the topics that it has just made: it answers before its own metadata has them."""
    deadline = Deadline(30.0)
    while hidden := made - admin.list_topics(timeout=15).topics.keys():
        if deadline.over():
            raise TopicError(f"the broker made {', '.join(sorted(hidden))} but does not list it after 30 s; try again")
        sleep(0.05)


def _topic_config(settings: Settings, name: str) -> dict[str, str]:
    """Return the options of one topic: results can be gathered again, and only the newest state counts."""
    topics = settings.kafka.topics
    if name == topics.dead_letters:
        return {"retention.ms": str(settings.dead_letters.retention_days * _DAY_MS)}
    if name == topics.windows:
        return {"retention.ms": str(_DAY_MS)}
    if name == topics.windows_state:
        return {"cleanup.policy": "compact", "segment.ms": str(3_600 * 1000)}
    return {}


def missing_topics(clients: KafkaClients, settings: Settings, *, timeout_s: float = 10.0) -> list[str]:
    """Return the names of the configured topics that the broker does not have.

    Raises:
        EventsTopicMistyped: see `refuse_mistyped_events`.
        TopicForbidden: this user may not see some of them.
        KafkaException: the broker cannot be reached or refuses.
    """
    asking = AdminWithCauses(clients.base("admin"))
    existing = asking.list_topics(timeout_s).topics
    refuse_mistyped_events(existing, settings)
    missing = [name for _, name in settings.kafka.topics if name not in existing]
    hidden = forbidden_topics(asking.admin, missing)
    if hidden:
        raise TopicForbidden(
            f"this user may not see the topics {', '.join(hidden)}, or they do not exist; grant it Describe, Read and "
            "Write on the topics of Gavel"
        )
    return missing
