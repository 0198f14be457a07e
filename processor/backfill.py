"""Carries out the backfills that the API asks for: replays over the archive, one at a time, with a lease.

Every process that runs the matcher has a runner; the store decides who works on what. A runner that dies
leaves its lease to run out, and another goes on from the place that was committed with its last batch.
"""

from __future__ import annotations

import os
import socket
import threading
from datetime import UTC, datetime
from functools import partial
from time import monotonic

import structlog

from config.clickhouse import ClickHouseProblem, connect
from config.clickhouse.results import existing_ids
from config.settings import Settings
from config.store.backfills import Backfill, Backfills, Progress
from config.store.engine import Database, StoreError
from processor.kafka import KafkaClients
from processor.replay import Replay, ReplayReport, ReplaySender, restrict
from processor.replay_plan import event_matcher, load_snapshot, replay_consumer
from processor.replay_sources import ArchiveSource, ReplayError

LEASE_S = 30.0
_LOOK_INTERVAL_S = 2.0
_REPORT_INTERVAL_S = 2.0


def utc_now() -> datetime:
    """Return the aware UTC time."""
    return datetime.now(UTC)


class BackfillRunner:
    """Looks for backfills and runs them on a thread of its own (a `Service` of the runtime)."""

    name = "backfills"

    def __init__(self, settings: Settings, database: Database, clients: KafkaClients) -> None:
        self._settings = settings
        self._clients = clients
        self._database = database
        self._backfills = Backfills(database)
        self._owner = f"{socket.gethostname()}-{os.getpid()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backfills", daemon=True)
        self._log = structlog.get_logger("gavel.backfill")

    def start(self) -> None:
        """Begin to look for backfills."""
        self._thread.start()

    def stop(self) -> None:
        """End after the current batch; what is left goes on elsewhere once the lease has run out."""
        self._stop.set()
        self._thread.join(timeout=30.0)

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_INTERVAL_S):
            try:
                backfill = self._backfills.claim(self._owner, now=utc_now(), lease_s=LEASE_S)
                if backfill is not None:
                    self._carry_out(backfill)
            except StoreError as error:
                self._log.warning("store_unavailable", error=str(error))

    def _carry_out(self, backfill: Backfill) -> None:
        log = self._log.bind(backfill_id=backfill.id, evaluation_id=backfill.evaluation_id)
        log.info("backfill_started", cursor=bool(backfill.cursor))
        try:
            replay, source = self._open(backfill)
        except (ReplayError, ClickHouseProblem) as error:
            log.warning("backfill_failed", error=str(error))
            self._backfills.finish(backfill.id, self._owner, "failed", error=str(error), now=utc_now())
            return
        try:
            self._work(backfill, replay, source)
        except (ReplayError, ClickHouseProblem) as error:
            # Not the backfill's fault: its lease runs out and it goes on from its last place.
            log.warning("backfill_interrupted", error=str(error))
        finally:
            source.close()

    def _work(self, backfill: Backfill, replay: Replay, source: ArchiveSource) -> None:
        reported_s = 0.0
        more = True
        while more and not self._stop.is_set():
            more = replay.step()
            if more and monotonic() - reported_s < _REPORT_INTERVAL_S:
                continue
            state = self._backfills.report(
                backfill.id,
                self._owner,
                progress_of(replay.report, source.total),
                cursor=source.cursor,
                now=utc_now(),
                lease_s=LEASE_S,
            )
            reported_s = monotonic()
            if state != "running":
                self._log.info("backfill_stopped", backfill_id=backfill.id, state=state)
                return
        if not more:
            self._backfills.finish(backfill.id, self._owner, "completed", now=utc_now())
            self._log.info("backfill_completed", backfill_id=backfill.id, **replay.report.as_json())

    def _open(self, backfill: Backfill) -> tuple[Replay, ArchiveSource]:
        settings, topics = self._settings, self._settings.kafka.topics
        snapshot = restrict(
            load_snapshot(self._database), teams=[backfill.team_id], evaluations=[backfill.evaluation_id]
        )
        client = connect(settings.clickhouse.dsn.get_secret_value())
        consumer = replay_consumer(self._clients, settings, backfill.id)
        source = ArchiveSource(
            client,
            consumer,
            topics.results,
            after=backfill.window_start,
            before=backfill.window_end,
            team_id=backfill.team_id,
            resume=backfill.cursor,
        )
        sender = ReplaySender(
            {
                **self._clients.producer_config(),
                "transactional.id": settings.kafka.group(f"backfill-{backfill.id}"),
                "transaction.timeout.ms": int(settings.kafka.transaction_timeout_s * 1000),
            },
            consumer,
        )
        replay = Replay(
            source,
            snapshot,
            event_matcher(backfill.id, settings, trigger="backfill", rerun=backfill.rerun_existing),
            existing=None if backfill.rerun_existing else partial(existing_ids, client),
            sender=sender,
            report=report_of(backfill.progress),
        )
        return replay, source


def report_of(progress: Progress) -> ReplayReport:
    """Return where a backfill's counters stood."""
    return ReplayReport(
        read=progress.read,
        matched=progress.matched,
        sampled_out=progress.sampled_out,
        evaluated=progress.evaluated,
        existing=progress.skipped,
        failed=progress.failed,
    )


def progress_of(report: ReplayReport, total: int) -> Progress:
    """Return the counters as the store keeps them: runs handed to judges count as evaluated, existing as skipped."""
    return Progress(
        total=total,
        read=report.read,
        matched=report.matched,
        sampled_out=report.sampled_out,
        evaluated=report.evaluated + report.handed_on,
        skipped=report.existing,
        failed=report.failed,
    )
