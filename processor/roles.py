"""How each role is put together from the settings."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from config.clickhouse import connect
from processor.committer import AtLeastOnceCommitter
from processor.event_matcher import EventMatcher
from processor.matcher import MatcherWorker
from processor.role_context import RoleContext
from processor.sink import SinkLimits, SinkWorker
from processor.sink_insert import Backoff
from processor.sink_rows import ARCHIVE, RESULTS
from processor.stage import Stage, StageLimits


def build_matcher(context: RoleContext) -> Stage:
    """Return the matcher: events in, Hog results and judge tasks out."""
    settings = context.settings
    topics, limits = settings.kafka.topics, settings.matcher
    events = EventMatcher(
        role="matcher",
        results_topic=topics.results,
        tasks_topic=topics.tasks,
        dead_letters_topic=topics.dead_letters,
        hog_time_limit_s=limits.inline_hog_limit_s,
        max_message_bytes=settings.kafka.max_message_bytes,
        metrics=context.metrics,
        failures=context.hog_failures(),
    )
    worker = MatcherWorker(
        context.snapshots,
        events,
        dead_letters_topic=topics.dead_letters,
        max_message_bytes=settings.kafka.max_message_bytes,
        guard=context.guard(),
    )
    return Stage(
        "matcher",
        [topics.events],
        context.clients.consumer("matcher"),
        context.committer("matcher"),
        worker,
        StageLimits(
            batch_records=limits.batch_size,
            commit_interval_s=limits.commit_interval_s,
            max_records=limits.max_in_flight_records,
            max_bytes=limits.max_in_flight_bytes,
            drain_s=settings.watchdog.shutdown_s,
            rejoin_s=context.rejoin_s,
        ),
        context.metrics,
    )


def build_judge(context: RoleContext) -> Stage:
    """Return the judge: tasks in, LLM results out."""
    from processor.judge_role import build_judge_stage  # with the provider's package, which takes a second to load

    return build_judge_stage(context)


def build_sink(context: RoleContext) -> Stage:
    """Return the sink: results, and the archive of events, into ClickHouse."""
    settings = context.settings
    topics, limits = settings.kafka.topics, settings.sink
    tables = {topics.results: RESULTS}
    if settings.clickhouse.archive_events:
        tables[topics.events] = ARCHIVE
    worker = SinkWorker(
        partial(
            connect,
            settings.clickhouse.dsn.get_secret_value(),
            connect_timeout_s=settings.clickhouse.connect_timeout_s,
            request_timeout_s=settings.clickhouse.request_timeout_s,
        ),
        tables,
        dead_letters_topic=topics.dead_letters,
        max_message_bytes=settings.kafka.max_message_bytes,
        guard=context.guard(),
        metrics=context.metrics,
        backoff=Backoff(limits.retry_initial_s, limits.retry_max_s, random.random),
        limits=SinkLimits(batch_rows=limits.batch_rows, batch_interval_s=limits.batch_interval_s),
    )
    return Stage(
        "sink",
        list(tables),
        context.clients.consumer("sink"),
        # ClickHouse is no part of a Kafka transaction: rows carry ids that a retry reproduces instead.
        AtLeastOnceCommitter(context.clients.producer_config()),
        worker,
        StageLimits(
            max_records=limits.max_in_flight_records,
            max_bytes=limits.max_in_flight_bytes,
            drain_s=settings.watchdog.shutdown_s,
            rejoin_s=context.rejoin_s,
        ),
        context.metrics,
    )


BUILDERS: dict[str, Callable[[RoleContext], Stage]] = {
    "matcher": build_matcher,
    "judge": build_judge,
    "sink": build_sink,
}
