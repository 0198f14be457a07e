"""Which reports are due, and the run that each of them gets.

A scheduled report that was due several times while nothing ran gets one run, which covers all of that time. A report
by count is due when enough results have come since the end of its last period, its cooldown is over, and the day's cap
is not reached.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from uuid import uuid4

import structlog

from reports.evaluation_reports.schedule import RuleRefused, Schedule, UnknownZone, read_schedule, read_zone
from storage.sql.evaluation_report_runs import Opening, ReportRun, ReportRuns
from storage.sql.evaluation_reports import EvaluationReport, EvaluationReports

CountResults = Callable[[EvaluationReport, datetime, datetime, int], int]
"""Returns how many results that were not skipped a report's evaluation has in a period, up to the number given."""

_PAGE = 500
_MANUAL_DAYS = 7


class DueReports:
    """Opens the runs of due reports. Several processes may do so; one of them opens each run.

    Args:
        count: see `CountResults`. It may raise, and then nothing is due by count.
        settle: how long results may take to be stored; a period ends that long before a report is made.
    """

    def __init__(self, reports: EvaluationReports, runs: ReportRuns, count: CountResults, *, settle: timedelta) -> None:
        self._reports = reports
        self._runs = runs
        self._count = count
        self._settle = settle
        self._log = structlog.get_logger("gavel.reports")

    def open_scheduled(self, now: datetime) -> list[ReportRun]:
        """Open the runs of scheduled reports whose time has come."""
        opened = (self._opened(self._open_scheduled, report, now) for report in self._reports.due(now))
        return [run for run in opened if run is not None]

    def open_counted(self, now: datetime) -> list[ReportRun]:
        """Open the runs of reports for which enough results have come. Blocks on a query of ClickHouse for each."""
        opened: list[ReportRun] = []
        page = self._reports.counting(limit=_PAGE)
        while page:
            for report in page:
                run = self._opened(self._open_counted, report, now)
                if run is not None:
                    opened.append(run)
            page = self._reports.counting(after=page[-1].id, limit=_PAGE) if len(page) == _PAGE else []
        return opened

    def _opened(
        self,
        open_run: Callable[[EvaluationReport, datetime], ReportRun | None],
        report: EvaluationReport,
        now: datetime,
    ) -> ReportRun | None:
        """Open one report's run. A schedule that cannot be read any more must not hold up the reports of others."""
        try:
            return open_run(report, now)
        except (RuleRefused, UnknownZone) as error:
            self._log.error("report_not_opened", report=report.id, team=report.team_id, problem=str(error))
            return None

    def _open_scheduled(self, report: EvaluationReport, now: datetime) -> ReportRun | None:
        schedule = schedule_of(report)
        if schedule is None or report.next_delivery_date is None:
            return None
        due = max(report.next_delivery_date, schedule.latest_until(now))
        before = schedule.latest_until(due - timedelta(microseconds=1))
        start = before if report.covered_until is None else min(report.covered_until, due)
        opening = Opening("scheduled", f"scheduled {due.isoformat()}", start, due, due + self._settle)
        return self._runs.open_due(report, opening, next_delivery_date=schedule.next_after(now), now=now)

    def _open_counted(self, report: EvaluationReport, now: datetime) -> ReportRun | None:
        start = report.covered_until or report.created_at
        end = now - self._settle
        if end <= start or not self._may_run(report, now):
            return None
        threshold = report.trigger_threshold
        if self._count(report, start, end, threshold) < threshold:
            return None
        opening = Opening("every_n", f"every_n {start.isoformat()}", start, end, now)
        return self._runs.open_due(report, opening, next_delivery_date=None, now=now)

    def _may_run(self, report: EvaluationReport, now: datetime) -> bool:
        """Return whether the cooldown is over and the cap of the day in the report's zone is not reached."""
        zone = read_zone(report.timezone_name)
        midnight = datetime.combine(now.astimezone(zone).date(), time(), tzinfo=zone)
        cooldown = timedelta(minutes=report.cooldown_minutes)
        made = self._runs.made_since(report.id, "every_n", min(midnight, now - cooldown))
        today = sum(moment >= midnight for moment in made)
        return today < report.daily_run_cap and all(moment <= now - cooldown for moment in made)


def schedule_of(report: EvaluationReport) -> Schedule | None:
    """Return the schedule of a stored report; None for one by count."""
    if report.frequency != "scheduled" or report.starts_at is None:
        return None
    return read_schedule(report.rrule, report.starts_at, report.timezone_name)


def manual_run(report: EvaluationReport, now: datetime, actor: str) -> Opening:
    """Return the run that somebody asks for: over one day for a daily report, and over a week for the others."""
    schedule = schedule_of(report)
    days = 1 if schedule is not None and not schedule.days else _MANUAL_DAYS
    return Opening("manual", f"manual {uuid4()}", now - timedelta(days=days), now, now, actor)
