"""The topics that each role reads and writes: its subscription, the rights that it needs, and its lag."""

from __future__ import annotations

from config.settings import Settings


def topics_read(settings: Settings, role: str) -> list[str]:
    """Return the topics that the consumer group of a role reads; none for a role without a group."""
    topics = settings.kafka.topics
    match role:
        case "matcher":
            return [topics.events]
        case "judge":
            return [topics.tasks, topics.parked]
        case "sink":
            archived = [topics.events] if settings.clickhouse.archive_events else []
            return [topics.results, topics.measurements, *archived]
        case _:
            return []


def topics_written(settings: Settings, role: str) -> list[str]:
    """Return the topics without which a role cannot do its work; others depend on what else it is asked to do."""
    topics = settings.kafka.topics
    match role:
        case "matcher":
            return [topics.results, topics.tasks, topics.dead_letters]
        case "judge":
            return [topics.parked, topics.results, topics.measurements, topics.dead_letters]
        case "sink":
            return [topics.dead_letters]
        case _:
            return []
