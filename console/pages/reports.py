"""Reports as they were sent, and clusters of conversations."""

from __future__ import annotations

import json

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from api.services import cluster_desk, report_desk
from console import commands
from console.markdown import to_html
from console.pages.registry import Page, post
from console.render import page
from console.visit import Visit


def show_reports(visit: Visit) -> Response:
    """Show the team's reports."""
    return page(visit, "reports.html", rows=report_desk.rows(visit.services, visit.team))


def show_report(visit: Visit) -> Response:
    """Show one report with its runs."""
    row = report_desk.row_of(visit.services, visit.team, visit.path["report"])
    return page(visit, "report.html", row=row, runs=report_desk.runs_of(visit.services, row), done=visit.notice("done"))


def generate(visit: Visit) -> Response:
    """Ask for a report now."""
    row = report_desk.row_of(visit.services, visit.team, visit.path["report"])
    report_desk.generate(visit.services, visit.reader.key, row)
    done = "The report is being made; its run appears here."
    return RedirectResponse(visit.link(f"reports/{row.report.id}/", done=done), 303)


def show_run(visit: Visit) -> Response:
    """Show the text of one run."""
    row = report_desk.row_of(visit.services, visit.team, visit.path["report"])
    run, text = report_desk.made_run(visit.services, row, visit.path["run"])
    return page(visit, "report_run.html", row=row, run=run, text=to_html(text), commands=_commands(visit, row, run.id))


def export_run(visit: Visit) -> Response:
    """Send one run as a file: its text, or all that it says as JSON."""
    row = report_desk.row_of(visit.services, visit.team, visit.path["report"])
    run, text = report_desk.made_run(visit.services, row, visit.path["run"])
    form = visit.choice("format", ("md", "json"), "md")
    content = text if form == "md" else json.dumps(run.content, ensure_ascii=False, indent=2)
    kind = "text/markdown; charset=utf-8" if form == "md" else "application/json"
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="report.{form}"'})


def _commands(visit: Visit, row: report_desk.ReportRow, run_id: str) -> list[str]:
    return [
        commands.gavel(visit, "reports", "show", run_id, "--json"),
        commands.curl(visit, f"llm_analytics/evaluation_reports/{row.report.id}/runs/{run_id}/page/"),
    ]


def show_sent(visit: Visit) -> Response:
    """Show one run as it was sent: a page of its own, under its own policy, which forbids scripts and requests."""
    row = report_desk.row_of(visit.services, visit.team, visit.path["report"])
    run, _ = report_desk.made_run(visit.services, row, visit.path["run"])
    content, policy = report_desk.sent_page(run)
    return HTMLResponse(content, headers={"Content-Security-Policy": policy})


def show_clusters(visit: Visit) -> Response:
    """Show the clustering jobs with their runs."""
    return page(visit, "clusters.html", rows=cluster_desk.rows(visit.services, visit.team), done=visit.notice("done"))


def start_clusters(visit: Visit) -> Response:
    """Ask for a run of a clustering job."""
    cluster_desk.start(visit.services, visit.reader.key, visit.field("job"))
    return RedirectResponse(visit.link("clusters/", done="The run waits for an instance of the reports role."), 303)


def show_cluster_run(visit: Visit) -> Response:
    """Show the clusters of one run, beside a plot."""
    job, run = cluster_desk.run_of(visit.services, visit.team, visit.path["job"], visit.path["run"])
    return page(visit, "cluster_run.html", job=job, run=run, clusters=cluster_desk.clusters_of(run))


def show_points(visit: Visit) -> Response:
    """Send the points of the plot."""
    _, run = cluster_desk.run_of(visit.services, visit.team, visit.path["job"], visit.path["run"])
    return JSONResponse(cluster_desk.points_of(run))


_READ, _WRITE = "llm_analytics:read", "llm_analytics:write"
PAGES = (
    Page("{team}/reports/", show_reports, _READ),
    Page("{team}/reports/{report}/", show_report, _READ),
    post("{team}/reports/{report}/", generate, _WRITE),
    Page("{team}/reports/{report}/{run}/", show_run, _READ),
    Page("{team}/reports/{report}/{run}/export/", export_run, _READ),
    Page("{team}/reports/{report}/{run}/sent/", show_sent, _READ),
    Page("{team}/clusters/", show_clusters, _READ),
    post("{team}/clusters/", start_clusters, _WRITE),
    Page("{team}/clusters/{job}/{run}/", show_cluster_run, _READ),
    Page("{team}/clusters/{job}/{run}/points/", show_points, _READ),
)
