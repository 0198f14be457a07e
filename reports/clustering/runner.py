"""Looks for clustering runs and carries them out, one at a time, with a lease."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from traceback import extract_tb
from typing import Protocol

import structlog

from conditions import ConditionError
from config.settings import Settings
from quality.extra import ExtraMissing
from reports.clustering.run import ClusteringOutcome, ClusteringWork
from reports.events import SendEvent
from reports.metrics import ReportsMetrics
from reports.service import ServiceState
from storage.background import Background, claimant
from storage.sql.clustering import MOST_ATTEMPTS, ClusteringJobs, ClusteringRun, ClusteringRuns, QueuedClustering
from storage.sql.engine import Database, StoreError

LEASE_S = 900.0
"""Longer than a run may take: ten thousand items take a minute, and their embeddings at most five."""
_LOOK_S = 3.0
_SCHEDULE_S = 60.0
_RETRY_S = 60.0
_STOP_WITHIN_S = 20.0


class Work(Protocol):
    """Carries out a run; see `ClusteringWork`."""

    def carry_out(self, run: ClusteringRun, job: QueuedClustering, now: datetime) -> ClusteringOutcome:
        """Return the outcome."""


class ClusteringRunner(Background):
    """A service of the reports role. The store decides which instance works on which run.

    Args:
        send: writes an event to the results topic, and raises if it is not taken.
        now: the aware time of the day.
    """

    name = "clustering"

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        metrics: ReportsMetrics,
        send: SendEvent,
        now: Callable[[], datetime],
        work: Work | None = None,
    ) -> None:
        super().__init__("clustering", every_s=_LOOK_S, stop_within_s=_STOP_WITHIN_S)
        self._limits = settings.clustering
        self._jobs = ClusteringJobs(database)
        self._runs = ClusteringRuns(database)
        self._work = work or ClusteringWork(settings, database)
        self._metrics = metrics
        self._send = send
        self._now = now
        self._owner = claimant()
        self._scheduled: datetime | None = None
        self._problem = ""
        self._current: ClusteringRun | None = None
        self._log = structlog.get_logger("gavel.clustering")

    def stop(self) -> None:
        """Stop looking. A run in work that does not end soon is given back, and another instance begins it anew."""
        super().stop()
        run = self._current
        if self.alive and run is not None:
            self._runs.give_back(run.id, self._owner)

    def state(self) -> ServiceState:
        """Return how it is. Safe from any thread."""
        return ServiceState(not self._problem, self._problem)

    def _turn(self) -> None:
        try:
            self.schedule()
            while not self.stopping and self.step():
                pass
            self._problem = ""
        except StoreError as error:
            # A claimed run is claimed again when its lease is over.
            self._problem = f"clustering cannot reach the store: {error}"
            self._log.warning("store_unavailable", role="reports", error=str(error))
        except Exception as error:  # noqa: BLE001  # the next turn comes, whatever one job held
            self._problem = f"clustering failed: {type(error).__name__}"
            self._log.error("clustering_failed", role="reports", exc_info=error)

    def schedule(self) -> None:
        """Add the day's runs of enabled jobs, at most once a minute."""
        now = self._now()
        if self._scheduled is not None and (now - self._scheduled).total_seconds() < _SCHEDULE_S:
            return
        self._scheduled = now
        limits = self._limits
        self._runs.schedule(lookback_days=limits.daily_lookback_days, max_samples=limits.daily_max_samples, now=now)

    def step(self) -> bool:
        """Claim a run and carry it out; return whether there was one.

        Raises:
            StoreError: the store does not answer.
        """
        run = self._runs.claim(self._owner, now=self._now(), lease_s=LEASE_S)
        if run is None:
            return False
        self._current = run
        try:
            self._metrics.count("gavel_clustering_runs", outcome=self._finish(run))
        finally:
            self._current = None
        return True

    def _finish(self, run: ClusteringRun) -> str:
        log = self._log.bind(role="reports", run_id=run.id, job_id=run.job_id)
        job = self._jobs.get(run.team_id, run.job_id)
        if job is None:
            return self._fail(run, "the job was deleted")
        if run.attempts > MOST_ATTEMPTS:
            return self._fail(run, run.error or f"{MOST_ATTEMPTS} instances ended in the middle of it")
        try:
            outcome = self._work.carry_out(run, job, self._now())
            # The event comes first: its id follows from the run, so a repetition writes the same event again.
            self._send(outcome.event, job.id)
        except ConditionError as error:
            return self._fail(run, f"an event filter is not valid: {error}")
        except ExtraMissing as error:
            return self._fail(run, str(error))
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # see below
            # ClickHouse that is away, or a defect of ours: neither ends the work on other runs.
            # Its text and its variables may hold texts of the team, so they are not logged.
            place = extract_tb(error.__traceback__)[-1]
            log.error(
                "clustering_attempt_failed",
                error=type(error).__name__,
                where=f"{place.filename}:{place.lineno}",
                attempt=run.attempts,
            )
            reason = f"{type(error).__name__}; the log says where"
            if run.attempts >= MOST_ATTEMPTS:
                return self._fail(run, reason)
            self._runs.retry(run.id, self._owner, reason, now=self._now(), wait_s=_RETRY_S)
            return "retried"
        if not self._runs.complete(run, self._owner, outcome.result, outcome.next_cluster, now=self._now()):
            log.info("clustering_lease_lost")
            return "lost"
        log.info("clustering_completed", items=outcome.result["items"], clusters=len(outcome.result["clusters"]))
        return "completed"

    def _fail(self, run: ClusteringRun, error: str) -> str:
        self._runs.fail(run.id, self._owner, error, now=self._now())
        self._log.warning("clustering_failed", role="reports", run_id=run.id, job_id=run.job_id, error=error)
        return "failed"
