"""Reports as the console lists them and shows them as they were sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.http.errors import NotFound, Throttled
from api.services.resources import Services
from reports.evaluation_reports.due import manual_run
from reports.evaluation_reports.page.html import page_policy, render_html
from reports.evaluation_reports.page.markdown import render_markdown
from reports.evaluation_reports.targets import shown_targets
from storage.sql.api_keys import ApiKey
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.evaluation_report_runs import ReportRun, ReportRuns, TargetDelivery
from storage.sql.evaluation_reports import EvaluationReport, EvaluationReports

MANUAL_PER_DAY = 24
"""Runs of one report that somebody may ask for within 24 hours: each sends messages and may call a model."""
_LISTED = 100


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A report with the name of its evaluation and its targets without their secrets."""

    report: EvaluationReport
    name: str
    targets: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run with its deliveries: the target without its secret, the state, and the error."""

    run: ReportRun
    deliveries: tuple[tuple[dict[str, Any], TargetDelivery], ...]


def rows(services: Services, team_id: int) -> list[ReportRow]:
    """Return the newest 100 reports of a team."""
    found, _ = EvaluationReports(services.database).page(team_id, limit=_LISTED, offset=0)
    return [_row(services, report) for report in found]


def row_of(services: Services, team_id: int, report_id: str) -> ReportRow:
    """Return one report. Raises `NotFound`."""
    found = EvaluationReports(services.database).get(team_id, report_id)
    if found is None:
        raise NotFound
    return _row(services, found)


def runs_of(services: Services, row: ReportRow) -> list[RunRow]:
    """Return the newest 100 runs of a report."""
    store = ReportRuns(services.database)
    found, _ = store.page(row.report.team_id, row.report.id, limit=_LISTED, offset=0)
    deliveries = store.deliveries([run.id for run in found])
    return [RunRow(run, tuple((shown_targets([each.target])[0], each) for each in deliveries[run.id])) for run in found]


def made_run(services: Services, row: ReportRow, run_id: str) -> tuple[ReportRun, str]:
    """Return a run that is made, and its Markdown. Raises `NotFound`."""
    run = ReportRuns(services.database).get(row.report.team_id, run_id)
    if run is None or run.report_id != row.report.id:
        raise NotFound
    if run.content is None:
        raise NotFound("The report of this run is not made yet; try again when its status is not pending.")
    return run, render_markdown(run.content)


def sent_page(run: ReportRun) -> tuple[str, str]:
    """Return the page of a run that is made, as it is sent, and the content security policy that it needs."""
    return render_html(run.content or {}), f"{page_policy()}; frame-ancestors 'none'"


def generate(services: Services, caller: ApiKey, row: ReportRow) -> None:
    """Ask for a report now. Raises `Throttled` after 24 of them within a day."""
    now = services.now()
    store = ReportRuns(services.database)
    made = store.made_since(row.report.id, "manual", now - timedelta(days=1))
    if len(made) >= MANUAL_PER_DAY:
        raise Throttled((made[-MANUAL_PER_DAY] + timedelta(days=1) - now).total_seconds())
    store.open_manual(row.report, manual_run(row.report, now, caller.actor), now=now)


def _row(services: Services, report: EvaluationReport) -> ReportRow:
    try:
        name = services.evaluations.get(report.team_id, report.evaluation_id).name
    except EvaluationNotFound:
        name = "a deleted evaluation"
    return ReportRow(report, name, tuple(shown_targets(report.delivery_targets)))
