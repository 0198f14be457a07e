"""How each role is put together from the settings."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from config.clickhouse import connect
from config.settings import Settings
from config.snapshot import SnapshotPoller
from config.store.engine import Database
from config.store.evaluations import Evaluations
from processor.committer import AtLeastOnceCommitter, Committer, TransactionalCommitter
from processor.dead_letters import RatioGuard
from processor.hog_status import HogFailures
from processor.judge_role import build_judge_stage
from processor.kafka import KafkaClients
from processor.matcher import EventMatcher, MatcherWorker
from processor.metrics import Metrics
from processor.sink import SinkLimits, SinkWorker
from processor.sink_insert import Backoff
from processor.sink_rows import ARCHIVE, RESULTS
from processor.stage import Stage, StageLimits


@dataclass
class RoleContext:
    """What the roles of one process share."""

    settings: Settings
    clients: KafkaClients
    database: Database
    snapshots: SnapshotPoller
    metrics: Metrics
    on_close: list[Callable[[], None]] = field(default_factory=list)

    def committer(self, role: str) -> Committer:
        """Return the committer that `delivery` asks for."""
        if self.settings.delivery == "exactly_once":
            return TransactionalCommitter(self.clients.transactional_config(role))
        return AtLeastOnceCommitter(self.clients.producer_config())

    def guard(self) -> RatioGuard:
        """Return a guard over the dead letters of one role."""
        letters = self.settings.dead_letters
        return RatioGuard(letters.ratio_limit, letters.ratio_window)

    def hog_failures(self) -> HogFailures:
        """Return what switches off evaluators that keep failing."""
        failures = HogFailures(self._stop_evaluation)
        self.on_close.append(failures.close)
        return failures

    def _stop_evaluation(self, team_id: int, evaluation_id: str, detail: str) -> None:
        Evaluations(self.database).set_status(
            team_id,
            evaluation_id,
            "error",
            actor="gavel",
            now=datetime.now(UTC),
            reason="hog_error",
            detail=detail,
            only_from=["active"],
        )

    def close(self) -> None:
        """Release what roles registered."""
        for close in reversed(self.on_close):
            close()


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
        ),
        context.metrics,
    )


def build_sink(context: RoleContext) -> Stage:
    """Return the sink: results, and the archive of events, into ClickHouse."""
    settings = context.settings
    topics, limits = settings.kafka.topics, settings.sink
    tables = {topics.results: RESULTS}
    if settings.clickhouse.archive_events:
        tables[topics.events] = ARCHIVE
    worker = SinkWorker(
        partial(connect, settings.clickhouse.dsn.get_secret_value()),
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
        ),
        context.metrics,
    )


BUILDERS: dict[str, Callable[[RoleContext], Stage]] = {
    "matcher": build_matcher,
    "judge": build_judge_stage,
    "sink": build_sink,
}
