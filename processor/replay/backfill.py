"""Carries out the backfills that the API asks for: replays over the archive, one at a time, with a lease.

Every process that runs the matcher has a runner; the store decides who works on what. A runner that is stopped
gives its backfill back; one that dies leaves its lease to run out. Another goes on from the place that was
committed with the last batch, counters included.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic
from typing import Literal

import structlog

from config.settings import Settings
from processor.kafka import KafkaClients
from processor.replay.catch_up import open_source
from processor.replay.plan import event_matcher, load_snapshot, replay_consumer, replay_sender
from processor.replay.replay import Replay, ReplayReport, restrict
from processor.replay.sources import ReplayError, ReplaySource, existing_in
from storage.background import Background, claimant
from storage.clickhouse import ClickHouseProblem, connect
from storage.clock import utc_now
from storage.sql.backfills import Backfill, Backfills, BackfillState, Progress
from storage.sql.catch_ups import CatchUps
from storage.sql.engine import Database, StoreError

LEASE_S = 90.0
"""Longer than any one query or commit may take: between them the lease is extended."""
_LOOK_INTERVAL_S = 2.0
_REPORT_INTERVAL_S = 2.0
_RETRY_S = 10.0
_STOP_WITHIN_S = 30.0


class BackfillRunner(Background):
    """Looks for backfills and runs them (a `Service` of the runtime).

    At its end it leaves the current batch and gives the backfill back, so that another runner goes on with it at once.
    """

    name = "backfills"
    outages = (StoreError,)

    def __init__(self, settings: Settings, database: Database, clients: KafkaClients) -> None:
        super().__init__("backfills", every_s=_LOOK_INTERVAL_S, stop_within_s=_STOP_WITHIN_S)
        self._settings = settings
        self._clients = clients
        self._database = database
        self._backfills = Backfills(database)
        self._catch_ups = CatchUps(database)
        self._owner = claimant()
        self._log = structlog.get_logger("gavel.backfill")

    def _turn(self) -> None:
        self._catch_ups.ask(utc_now())
        backfill = self._backfills.claim(self._owner, now=utc_now(), lease_s=LEASE_S)
        if backfill is not None:
            self._carry_out(backfill)

    def _on_outage(self, error: Exception) -> None:
        # A claimed backfill continues when its lease has run out.
        self._log.warning("store_unavailable", error=str(error))

    def _on_recovery(self) -> None:
        self._log.info("store_available")

    def _carry_out(self, backfill: Backfill) -> None:
        log = self._log.bind(backfill_id=backfill.id, evaluation_id=backfill.evaluation_id)
        log.info("backfill_started", cursor=bool(backfill.cursor))
        hold = Hold(self._backfills, self._owner, backfill, lambda: self.stopping)
        try:
            with ExitStack() as opened:
                replay, source = self._open(backfill, opened)
                opened.callback(replay.leave)
                hold.advance(progress_of(replay.report, source.total), replay.cursor)
                hold.report()
                going_on = True
                while going_on:
                    going_on = replay.step(hold.keep)
                    hold.advance(progress_of(replay.report, source.total), replay.cursor)
                    hold.keep()
                hold.report()
            state = hold.finish("completed")
        except _Halt as halt:
            log.info("backfill_stopped", state=halt.state)
        except _NotRunnable as error:
            log.warning("backfill_failed", error=str(error))
            hold.finish("failed", str(error))
        except (ReplayError, ClickHouseProblem) as error:
            log.warning("backfill_interrupted", error=str(error))
            hold.interrupt(str(error))
        except StoreError:
            raise
        except Exception as error:
            # A defect of ours ends this backfill where its reason can be read, not the work on all others.
            log.exception("backfill_failed", error=type(error).__name__)
            hold.finish("failed", f"internal error ({type(error).__name__}); the log has more")
        else:
            log.info(f"backfill_{state or 'lost'}", **replay.report.as_json())

    def _open(self, backfill: Backfill, opened: ExitStack) -> tuple[Replay, ReplaySource]:
        settings = self._settings
        snapshot = load_snapshot(self._database)
        try:
            snapshot = restrict(snapshot, teams=[backfill.team_id], evaluations=[backfill.evaluation_id])
        except ReplayError as error:
            raise _NotRunnable(str(error)) from error
        client = connect(settings.clickhouse.dsn.get_secret_value())
        opened.callback(client.close)
        consumer = replay_consumer(self._clients, settings, backfill.id)
        opened.callback(consumer.close)
        transactional_id = settings.kafka.group(f"backfill-{backfill.id}")
        sender = replay_sender(self._clients, settings, consumer, transactional_id)
        source = open_source(backfill, settings, consumer, client)
        replay = Replay(
            source,
            snapshot,
            event_matcher(backfill.id, settings, trigger="backfill", rerun=backfill.rerun_existing),
            existing=None if backfill.rerun_existing else existing_in(client),
            sender=sender,
            rate=settings.matcher.backfill_rate,
            report=ReplayReport.from_note(source.note) or report_of(backfill.progress),
        )
        return replay, source


class _Halt(Exception):
    """The backfill must not continue here. `state`: its present state; None if another runner has it."""

    def __init__(self, state: BackfillState | None) -> None:
        super().__init__(state)
        self.state = state


class _NotRunnable(Exception):
    """The backfill cannot be carried out, now or later."""


class Hold:
    """A runner's hold on one backfill: the lease, and the place that is durable.

    Args:
        stopping: whether the runner is to end.
    """

    def __init__(self, backfills: Backfills, owner: str, backfill: Backfill, stopping: Callable[[], bool]) -> None:
        self._backfills = backfills
        self._owner = owner
        self._id = backfill.id
        self._stopping = stopping
        self._progress, self._cursor = backfill.progress, backfill.cursor
        self._reported_s = monotonic()

    def advance(self, progress: Progress, cursor: str) -> None:
        """Note the durable progress."""
        self._progress, self._cursor = progress, cursor

    def keep(self) -> None:
        """Extend the lease if it is time to. Cheap enough to be called for every event.

        Raises:
            _Halt: the runner ends, and the backfill waits for another; or as `report`.
        """
        if self._stopping():
            state = self._backfills.give_back(self._id, self._owner, self._progress, cursor=self._cursor, now=utc_now())
            raise _Halt(state)
        if monotonic() - self._reported_s >= _REPORT_INTERVAL_S:
            self.report()

    def report(self) -> None:
        """Store the place and extend the lease.

        Raises:
            _Halt: the backfill was paused or cancelled, or another runner has it.
        """
        state = self._store(LEASE_S)
        if state != "running":
            raise _Halt(state)
        self._reported_s = monotonic()

    def interrupt(self, error: str) -> None:
        """Leave the backfill for a later try, by whichever runner comes first, and show why it does not advance."""
        self._store(_RETRY_S, error)

    def finish(self, state: Literal["completed", "failed"], error: str = "") -> BackfillState | None:
        """End the backfill.

        Returns:
            Its state: another one if it was paused or cancelled at the last moment, None if another runner has it.
        """
        if self._backfills.finish(self._id, self._owner, state, error=error, now=utc_now()):
            return state
        return self._store(LEASE_S)

    def _store(self, lease_s: float, error: str = "") -> BackfillState | None:
        return self._backfills.report(
            self._id, self._owner, self._progress, cursor=self._cursor, now=utc_now(), lease_s=lease_s, error=error
        )


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
