"""How the sink role is put together from the settings."""

from __future__ import annotations

import random
from functools import partial

from processor.role_context import RoleContext
from processor.role_topics import topics_read
from processor.sink.insert import Backoff
from processor.sink.rows import DECISIONS, LABELS, MEASUREMENTS, RESULTS, archive_of
from processor.sink.worker import LetterRules, SinkLimits, SinkWorker
from processor.stream.committer import AtLeastOnceCommitter
from processor.stream.limits import StageLimits
from processor.stream.stage import Stage
from storage.clickhouse import connect


def build_sink(context: RoleContext) -> Stage:
    """Return the sink: results, measurements, labels, decisions, and the archive of events, into ClickHouse."""
    settings = context.settings
    topics, limits = settings.kafka.topics, settings.sink
    read = topics_read(settings, "sink")
    kinds = {
        topics.results: RESULTS, topics.measurements: MEASUREMENTS, topics.events: archive_of(settings.ingest.forward),
    }  # fmt: skip
    worker = SinkWorker(
        partial(
            connect,
            settings.clickhouse.dsn.get_secret_value(),
            connect_timeout_s=settings.clickhouse.connect_timeout_s,
            request_timeout_s=settings.clickhouse.request_timeout_s,
        ),
        {topic: kinds[topic] for topic in read},
        beside={topics.results: (LABELS, DECISIONS)},
        letters=LetterRules(topics.dead_letters, settings.kafka.max_message_bytes, context.guard()),
        metrics=context.metrics,
        backoff=Backoff(limits.retry_initial_s, limits.retry_max_s, random.random),
        limits=SinkLimits(batch_rows=limits.batch_rows, batch_interval_s=limits.batch_interval_s),
    )
    return Stage(
        "sink",
        read,
        context.clients.consumer("sink"),
        # ClickHouse does not take part in a Kafka transaction, so rows carry ids that a retry reproduces.
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
