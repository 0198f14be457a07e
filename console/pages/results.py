"""Results over all evaluations or of one: a light table, newest first, read by key and never counted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.responses import Response, StreamingResponse

from api.http.errors import Invalid
from api.services.definitions import find
from api.services.event_access import may_read_events, need_events
from api.services.newest_results import PREVIEW_CHARS, SEARCHED, VERDICTS, Wanted
from api.services.result_export import FORMATS, MAX_ROWS, export
from api.services.results import confidence_between
from console import commands
from console.newest import newest_table
from console.pages.registry import Page
from console.render import page
from console.visit import Period, Visit, is_id

_ROWS = 50
_FILTER = (
    "verdict", "model", "prompt_version", "trigger", "q", "property", "value", "min_confidence", "max_confidence",
)  # fmt: skip
TRIGGERS = ("live", "manual", "backfill", "replay")


def show_all(visit: Visit) -> Response:
    """Show the results of all evaluations, or of the one that the filter names."""
    return _show(visit, _chosen(visit), None)


def show_one(visit: Visit) -> Response:
    """Show the results of one evaluation."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    return _show(visit, evaluation.id, evaluation.name)


def export_all(visit: Visit) -> Response:
    """Send the results of the page's filter as a file, at most a million."""
    return _export(visit, _chosen(visit))


def export_one(visit: Visit) -> Response:
    """Send the results of one evaluation as a file."""
    return _export(visit, find(visit.services, visit.reader.key, visit.path["evaluation"]).id)


def _export(visit: Visit, evaluation_id: str) -> Response:
    form = visit.choice("format", tuple(FORMATS), "csv")
    wanted = wanted_results(visit, visit.period("7d"), evaluation_id)
    pieces = export(visit.services, visit.outlines, wanted, form, readable=may_read_events(visit.reader.key))
    headers = {"Content-Disposition": f'attachment; filename="results.{form}"'}
    return StreamingResponse(pieces, media_type=FORMATS[form], headers=headers)


def _chosen(visit: Visit) -> str:
    text = visit.query("evaluation")
    # An id stays, because an evaluation that was deleted still has results.
    return text if not text or is_id(text) else visit.outlines.named(text)


def wanted_results(visit: Visit, period: Period, evaluation_id: str) -> Wanted:
    """Return which results the parameters of the address want, of one evaluation or of all.

    Raises:
        PermissionDenied: they name a property, which only a reader of events may ask for.
        Invalid: the confidence is not a number from 0 to 1.
    """
    need_events(visit.reader.key, visit.query("property"))
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
        property_name=visit.query("property"),
        property_value=visit.query("value") if visit.query("property") else "",
        confidence=confidence_between(visit.query("min_confidence"), visit.query("max_confidence")),
    )


def _show(visit: Visit, evaluation_id: str, name: str | None) -> Response:
    period = visit.period("7d")
    try:
        wanted = wanted_results(visit, period, evaluation_id)
    except Invalid as error:
        return _refused(visit, period, evaluation_id, name, error)
    table = newest_table(
        visit, wanted, period, "Results, newest first", limit=_ROWS, with_evaluation=name is None,
        cursor=visit.query("cursor"), trail=filter_of(visit, evaluation_id) | dict(visit.state(period)),
    )  # fmt: skip
    filters = filter_of(visit, evaluation_id if name is None else "")
    return page(
        visit,
        "results.html",
        **_form(visit, period, evaluation_id, name),
        table=table,
        formats=tuple(FORMATS),
        most=MAX_ROWS,
        searched=SEARCHED,
        filters=filters,
        export=_commands(visit, wanted, name),
    )


def _refused(visit: Visit, period: Period, evaluation_id: str, name: str | None, error: Invalid) -> Response:
    """Show the form with the reason at its field, and no results."""
    form = _form(visit, period, evaluation_id, name, {error.attr or "": error.detail})
    return page(visit, "results.html", status=error.status, **form, table=None)


def _form(
    visit: Visit, period: Period, evaluation_id: str, name: str | None, problems: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {
        "period": period,
        "name": name,
        "evaluation_id": evaluation_id,
        "outlines": visit.outlines if name is None else [],
        "asked": {each: visit.query(each) for each in _FILTER},
        "verdicts": VERDICTS,
        "triggers": TRIGGERS,
        "preview": PREVIEW_CHARS,
        "problems": problems or {},
    }


def filter_of(visit: Visit, evaluation_id: str) -> dict[str, str]:
    """Return the filter of the address as parameters, without its time."""
    found = {name: visit.query(name) for name in _FILTER} | {"evaluation": evaluation_id}
    return {name: value for name, value in found.items() if value}


def _commands(visit: Visit, wanted: Wanted, name: str | None) -> list[str]:
    """Return commands of a shell that read the same results; none if they lack one of the page's filters."""
    if wanted.model or wanted.prompt_version or wanted.trigger or wanted.text or wanted.property_name:
        return []
    start, end = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (wanted.start, wanted.end))
    ends = {"min_confidence": wanted.confidence.least, "max_confidence": wanted.confidence.most}
    sure = {name: str(value) for name, value in ends.items() if value is not None}
    found = []
    if wanted.verdict in ("", "fail") and (name or not wanted.evaluation_id):
        words = ["results", "--since", start, "--until", end, "--export", "csv"]
        words += ["--evaluation", name] if name else []
        words += [word for end, value in sure.items() for word in (f"--{end.replace('_', '-')}", value)]
        found.append(commands.gavel(visit, *words, *(["--failing"] if wanted.verdict else [])))
    if wanted.evaluation_id:
        query = {"after": start, "before": end} | ({"result": wanted.verdict} if wanted.verdict else {}) | sure
        found.append(commands.curl(visit, f"evaluations/{wanted.evaluation_id}/results/", query))
    return found


PAGES = (
    Page("{team}/results/", show_all, "evaluation:read"),
    Page("{team}/results/export/", export_all, "evaluation:read"),
    Page("{team}/evaluations/{evaluation}/results/export/", export_one, "evaluation:read"),
    Page("{team}/evaluations/{evaluation}/results/", show_one, "evaluation:read"),
)
