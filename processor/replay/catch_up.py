"""The source of a backfill: the archive, or the topic for what an evaluation missed while it was switched off."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from confluent_kafka import Consumer

from config.settings import Settings
from processor.replay.sources import ArchiveSource, ReplaySource, TopicSource, bounds_of, ranges_by_time
from storage.sql.backfills import CATCH_UP_ACTOR, Backfill

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_BEFORE = timedelta(seconds=30)
_BEHIND = timedelta(seconds=10)
"""How much earlier and later than the store's times the topic is read: brokers have clocks of their own, and matchers
hear of a status a poll later. Events at the edges that were judged have their results and are not judged again."""


def open_source(backfill: Backfill, settings: Settings, consumer: Consumer, client: Client) -> ReplaySource:
    """Return the source of a backfill, at the place where it stopped.

    A backfill that a person asked for is about the times of events, which the archive is ordered by. A catch-up is
    about the time at which events came in, whatever time they bear: that is an offset range of the events topic. If the
    topic does not hold the range any more, the archive serves.

    Raises:
        ReplayError: the source cannot be read.
    """
    if backfill.created_by == CATCH_UP_ACTOR and not settings.kafka.is_embedded:
        topic = settings.kafka.topics.events
        after, before = backfill.window_start - _BEFORE, backfill.window_end + _BEHIND
        ranges = ranges_by_time(consumer, topic, after, before)
        if _holds(consumer, topic, ranges):
            return TopicSource(consumer, topic, ranges)
        structlog.get_logger("gavel.backfill").warning(
            "catch_up_from_archive",
            backfill_id=backfill.id,
            topic=topic,
            window_start=backfill.window_start.isoformat(),
        )
    return ArchiveSource(
        client,
        consumer,
        settings.kafka.topics.results,
        after=backfill.window_start,
        before=backfill.window_end,
        team_id=backfill.team_id,
        resume=backfill.cursor,
    )


def _holds(consumer: Consumer, topic: str, ranges: dict[int, tuple[int, int]]) -> bool:
    """Whether nothing of the ranges was removed by retention: each partition has still an earlier record, or all."""
    bounds = bounds_of(consumer, topic, ranges)
    return all(bounds[partition][0] == 0 or start > bounds[partition][0] for partition, (start, _) in ranges.items())
