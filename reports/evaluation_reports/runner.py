"""The service of the reports role that opens due runs, makes them, and delivers them.

Any number of processes may run it: the store decides who opens, makes and delivers what. A process that dies leaves its
run to another one, which goes on after the last step that was stored.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from config.definitions import Evaluation
from config.settings.reports import Reports
from processor.events.beside import BesideEvent, beside_event
from processor.events.identity import url_uuid
from reports.evaluation_reports.deliver import Deliverer, LeaseLost, status_of
from reports.evaluation_reports.due import DueReports
from reports.evaluation_reports.generate import Content, FiguresUnavailable, Generator, content_without_figures
from reports.evaluation_reports.prose import shown_figures
from reports.events import NotSent, SendEvent
from reports.metrics import ReportsMetrics
from reports.service import ServiceState
from storage.background import Background
from storage.clickhouse.times import time_text
from storage.sql.engine import Database, StoreError
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.evaluation_report_runs import ReportRun, ReportRuns, ReportRunStatus
from storage.sql.evaluation_reports import EvaluationReport, EvaluationReports
from storage.sql.evaluations import Evaluations

REPORT_EVENT = "$ai_evaluation_report"
_FIGURES_TRIES = 4
_EVENT_TRIES = 6


class ReportsRunner(Background):
    """Threads that work on reports until `stop`. An unfinished run goes on in another process or at the next start.

    Args:
        due: opens runs.
        generator: makes their content.
        deliverer: delivers them.
        now: aware time of the day.
    """

    name = "evaluation_reports"

    def __init__(
        self,
        settings: Reports,
        database: Database,
        *,
        due: DueReports,
        generator: Generator,
        deliverer: Deliverer,
        send: SendEvent,
        metrics: ReportsMetrics,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(
            "evaluation-reports",
            every_s=settings.poll_interval_s,
            stop_within_s=settings.delivery_timeout_s * 3,
            at_once=True,
        )
        self._settings = settings
        self._reports = EvaluationReports(database)
        self._runs = ReportRuns(database)
        self._evaluations = Evaluations(database)
        self._due = due
        self._generator = generator
        self._deliverer = deliverer
        self._send = send
        self._metrics = metrics
        self._now = now
        self._state = ServiceState(True, "")
        self._looked = now()
        self._log = structlog.get_logger("gavel.reports")

    def state(self) -> ServiceState:
        """Return whether the last look succeeded."""
        return self._state

    def turn(self) -> None:
        """Open the runs that are due, and work on runs until none waits.

        Raises:
            StoreError: the store does not answer.
        """
        now = self._now()
        self._due.open_scheduled(now)
        try:
            self._due.open_counted(now)
        except FiguresUnavailable as error:
            self._log.warning("results_not_counted", problem=str(error))
        self._export()  # before the work too, because the work can take long and an age grows meanwhile
        with ThreadPoolExecutor(self._settings.workers, thread_name_prefix="report") as pool:
            for worker in [pool.submit(self._work) for _ in range(self._settings.workers)]:
                worker.result()
        self._export()

    def look(self) -> None:
        """Take a turn, and keep its outcome for `state` and the metrics. It raises nothing, so that looks go on."""
        try:
            self.turn()
        except StoreError as error:
            self._failed(f"evaluation reports wait for the store: {error}")
            self._log.warning("reports_wait_for_store", problem=str(error))
        except Exception as error:  # noqa: BLE001  # the loop goes on, whatever one report held
            self._failed(f"evaluation reports failed: {type(error).__name__}")
            self._log.error("reports_failed", exc_info=error)
        else:
            self._state = ServiceState(True, "")
            self._looked = self._now()

    def _failed(self, problem: str) -> None:
        """Count the time since the last good turn as overdue, because nobody knows which reports are due meanwhile."""
        self._state = ServiceState(False, problem)
        self._metrics.since("gavel_reports_overdue_seconds", self._looked.timestamp())

    def _turn(self) -> None:
        self.look()

    def _work(self) -> None:
        """Work on one run after the other until none waits."""
        owner = str(uuid4())
        while not self.stopping:
            run = self._runs.claim(owner, now=self._now(), lease_s=self._settings.lease_s)
            if run is None:
                return
            try:
                self._go_on(run, owner)
            except LeaseLost:
                self._log.warning("report_lease_lost", run=run.id)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001  # an exception of ours concerns this run alone
                self._log.error("report_failed", run=run.id, team=run.team_id, exc_info=error)
                self._finish(run, owner, "failed", f"an error of Gavel's own: {type(error).__name__}")

    def _go_on(self, run: ReportRun, owner: str) -> None:
        """Take a run as far as it goes now."""
        subject = self._subject(run, owner)
        if subject is None:
            return
        report, evaluation = subject
        if run.status == "pending":
            content = self._content(run, owner, report, evaluation)
            if content is None:
                return
            if not self._runs.store_content(run, owner, content, report.delivery_targets, now=self._now()):
                raise LeaseLost
            self._metrics.count("gavel_reports_generated", figures="no" if content["metrics_unavailable"] else "yes")
            run = self._again(run)
        if run.emitted_at is None:
            self._emit(run, owner)
        deliveries = self._deliverer.deliver(run, owner)
        waiting = [each.not_before for each in deliveries if each.state in ("waiting", "sending")]
        if waiting:
            self._give_back(run, owner, min(waiting), "")
        elif run.attempts + 1 < _EVENT_TRIES and self._again(run).emitted_at is None:
            wait = timedelta(seconds=self._settings.retry_initial_s * 2**run.attempts)
            self._give_back(run, owner, self._now() + wait, "all is delivered; Kafka has not taken its event yet")
        else:
            self._finish(run, owner, status_of(deliveries), "")

    def _subject(self, run: ReportRun, owner: str) -> tuple[EvaluationReport, Evaluation] | None:
        """Return the report and its evaluation; None if one of them is gone, which ends the run."""
        report = self._reports.get(run.team_id, run.report_id)
        problem = "the report was deleted" if report is None else ""
        if report is not None and not report.enabled and run.trigger != "manual":
            problem = "the report was switched off"
        try:
            evaluation = self._evaluations.get(run.team_id, run.evaluation_id)
        except EvaluationNotFound:
            problem, evaluation = "the evaluation was deleted", None
        if problem or report is None or evaluation is None:
            self._finish(run, owner, "failed", f"{problem} before this report was delivered")
            return None
        return report, evaluation

    def _content(self, run: ReportRun, owner: str, report: EvaluationReport, evaluation: Evaluation) -> Content | None:
        """Return the content; None if ClickHouse does not answer and the run is to wait for it.

        A run whose figures ended their process each time gets none, so that it does not end processes for ever.
        """
        if run.attempts >= _FIGURES_TRIES:
            self._log.error("report_figures_given_up", run=run.id, team=run.team_id, attempts=run.attempts)
            return content_without_figures(run, evaluation)
        try:
            return self._generator.content(run, report, evaluation)
        except FiguresUnavailable as error:
            if run.attempts + 1 < _FIGURES_TRIES:
                wait = timedelta(seconds=self._settings.retry_initial_s * 2**run.attempts)
                self._give_back(run, owner, self._now() + wait, f"figures are not available: {error}")
                return None
            return content_without_figures(run, evaluation)

    def _again(self, run: ReportRun) -> ReportRun:
        found = self._runs.get(run.team_id, run.id)
        if found is None:
            raise LeaseLost
        return found

    def _emit(self, run: ReportRun, owner: str) -> None:
        """Write the run's event. Its id follows from the run, so one that is written twice counts once.

        A report is delivered even if Kafka does not take the event. The event is then written at the next attempt of
        this run, or missing after `_EVENT_TRIES` of them, which the metric shows.
        """
        try:
            self._send(report_event(run), run.evaluation_id)
        except NotSent as error:
            self._metrics.count("gavel_reports_events_not_sent")
            self._log.warning("report_event_not_sent", run=run.id, team=run.team_id, problem=str(error))
            return
        if not self._runs.note_emitted(run, owner, self._now()):
            raise LeaseLost

    def _give_back(self, run: ReportRun, owner: str, not_before: datetime, error: str) -> None:
        if not self._runs.give_back(run, owner, not_before=not_before, error=error, now=self._now()):
            raise LeaseLost

    def _finish(self, run: ReportRun, owner: str, status: ReportRunStatus, error: str) -> None:
        if not self._runs.finish(run, owner, status, error=error, now=self._now()):
            raise LeaseLost
        self._metrics.count("gavel_reports_runs", status=status)
        self._log.info("report_finished", run=run.id, team=run.team_id, status=status, problem=error or None)

    def _export(self) -> None:
        """Show the runs that are not finished, and how long the oldest one, or a due report without a run, waits."""
        now = self._now()
        backlog = self._runs.backlog(now)
        self._metrics.set("gavel_reports_open", backlog.open)
        waiting = [moment for moment in (backlog.oldest, self._reports.oldest_due(now)) if moment is not None]
        self._metrics.since("gavel_reports_overdue_seconds", min(waiting).timestamp() if waiting else 0.0)


def report_event(run: ReportRun) -> BesideEvent:
    """Return the event of a run, for the results topic."""
    content = run.content or {}
    figures = None if content["figures"] is None else shown_figures(content)["figures"]
    properties = {
        "$ai_evaluation_id": run.evaluation_id,
        "$ai_evaluation_name": content["evaluation"]["name"],
        "$ai_evaluation_report_id": run.report_id,
        "$ai_evaluation_report_run_id": run.id,
        "$ai_report_trigger": run.trigger,
        "$ai_report_period_start": run.period_start.isoformat(),
        "$ai_report_period_end": run.period_end.isoformat(),
        "$ai_report_title": content["title"],
        "$ai_report_sections": content["sections"],
        "$ai_report_metrics": figures,
        "$ai_report_metrics_unavailable": content["metrics_unavailable"],
    }
    identity = url_uuid(f"gavel://evaluation-report-run/{run.id}")
    at = time_text(run.generated_at or run.created_at)
    return beside_event(REPORT_EVENT, identity, run.team_id, at, properties, distinct_id=run.report_id)
