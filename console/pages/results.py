"""Results over all evaluations or of one: a light table, newest first, read by key and never counted."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response, StreamingResponse

from api.services.definitions import find
from api.services.newest_results import VERDICTS, Wanted
from api.services.result_export import FORMATS, MAX_ROWS, export
from console import commands
from console.newest import newest_table
from console.pages.registry import Page
from console.render import page
from console.visit import Period, Visit

_ROWS = 50
TRIGGERS = ("live", "manual", "backfill", "replay")


def show_all(visit: Visit) -> Response:
    """Show the results of all evaluations, or of the one that the filter names."""
    return _show(visit, visit.query("evaluation"), None)


def show_one(visit: Visit) -> Response:
    """Show the results of one evaluation."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    return _show(visit, evaluation.id, evaluation.name)


def export_all(visit: Visit) -> Response:
    """Send the results of the page's filter as a file, at most a million."""
    return _export(visit, visit.query("evaluation"))


def export_one(visit: Visit) -> Response:
    """Send the results of one evaluation as a file."""
    return _export(visit, find(visit.services, visit.reader.key, visit.path["evaluation"]).id)


def _export(visit: Visit, evaluation_id: str) -> Response:
    form = visit.choice("format", tuple(FORMATS), "csv")
    pieces = export(visit.services, visit.outlines, _wanted(visit, visit.period("7d"), evaluation_id), form)
    headers = {"Content-Disposition": f'attachment; filename="results.{form}"'}
    return StreamingResponse(pieces, media_type=FORMATS[form], headers=headers)


def _wanted(visit: Visit, period: Period, evaluation_id: str) -> Wanted:
    return Wanted(
        team_id=visit.team,
        start=period.start,
        # Judges' clocks may be a little ahead of ours.
        end=period.end + (timedelta(minutes=5) if period.name else timedelta(0)),
        evaluation_id=evaluation_id,
        verdict=visit.choice("verdict", VERDICTS),
        model=visit.query("model"),
        prompt_version=visit.query("prompt_version"),
        trigger=visit.choice("trigger", TRIGGERS),
        text=visit.query("q"),
    )


def _show(visit: Visit, evaluation_id: str, name: str | None) -> Response:
    period = visit.period("7d")
    wanted = _wanted(visit, period, evaluation_id)
    table = newest_table(
        visit, wanted, period, "Results, newest first", limit=_ROWS, with_evaluation=name is None,
        cursor=visit.query("cursor"),
    )  # fmt: skip
    return page(
        visit,
        "results.html",
        period=period,
        wanted=wanted,
        name=name,
        evaluation_id=evaluation_id,
        outlines=visit.outlines if name is None and len(visit.outlines) <= 200 else [],
        table=table,
        verdicts=VERDICTS,
        triggers=TRIGGERS,
        formats=tuple(FORMATS),
        most=MAX_ROWS,
        export=_commands(visit, wanted, name),
        filtered=any((wanted.verdict, wanted.model, wanted.prompt_version, wanted.trigger, wanted.text)),
    )


def _commands(visit: Visit, wanted: Wanted, name: str | None) -> list[str]:
    """Return commands of a shell that read the same results; none if they lack one of the page's filters."""
    if wanted.model or wanted.prompt_version or wanted.trigger or wanted.text:
        return []
    start, end = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (wanted.start, wanted.end))
    found = []
    if wanted.verdict in ("", "fail") and (name or not wanted.evaluation_id):
        words = ["results", "--since", start, "--until", end, "--export", "csv"]
        words += ["--evaluation", name] if name else []
        found.append(commands.gavel(visit, *words, *(["--failing"] if wanted.verdict else [])))
    if wanted.evaluation_id:
        query = {"after": start, "before": end} | ({"result": wanted.verdict} if wanted.verdict else {})
        found.append(commands.curl(visit, f"evaluations/{wanted.evaluation_id}/results/", query))
    return found


PAGES = (
    Page("{team}/results/", show_all, "evaluation:read"),
    Page("{team}/results/export/", export_all, "evaluation:read"),
    Page("{team}/evaluations/{evaluation}/results/export/", export_one, "evaluation:read"),
    Page("{team}/evaluations/{evaluation}/results/", show_one, "evaluation:read"),
)
