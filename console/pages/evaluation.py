"""One evaluation: its pass rate by version, outcomes and skips, values, cost, and where events get lost on the way."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from api.http.errors import ApiError
from api.services.definitions import find, history_of
from api.services.figures import FiguresTally, tally
from api.services.newest_results import Wanted
from api.services.one_evaluation import GROUPS, Outage, funnel_of, groups_of, outages_of
from api.services.spending import spending_of
from api.services.trust_desk import has_labels, moved_of
from api.services.verdicts import passing_means
from console.buckets import buckets_of
from console.charts.rate import rate_chart
from console.evaluation_charts import (
    ChartWithData,
    JudgeChange,
    changes_of,
    charts_of,
    judges_of,
    pieces_of,
    tallies_of,
)
from console.failures import explained, without_figures
from console.newest import newest_table
from console.pages.panels import Panel, panels_of
from console.pages.registry import Page
from console.render import fragment, page
from console.visit import Period, Visit

_NEWEST = 10
_CHANGES = 20
"""Newest changes and outages of a period that are listed."""
_CORRECTED = 3
"""Newest versions of a period whose corrected rates are shown."""


def show(visit: Visit) -> Response:
    """Show the page. Without ClickHouse it shows the definition and the last figures, and says what is missing."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period = visit.period("7d")
    outline = visit.outlines.by_id.get(evaluation.id)
    newest = Markup()
    problem = ""
    try:
        drawn: DrawnFigures | None = _kept(visit, evaluation, period)
    except ApiError as error:
        drawn = visit.book.last(_key(visit, evaluation), period)
        problem = without_figures(error, visit.zone, drawn.as_of if drawn else None)
    if not problem:
        try:
            newest = _newest(visit, evaluation, period)
        except ApiError as error:
            problem = explained(error, visit.zone)
    charts = drawn.charts if drawn else {}
    of, state = {"evaluation": evaluation.id}, visit.state(visit.asked)
    panels = [Panel("funnel", "the way of the newest events", _FUNNEL, of, state)]
    if charts:
        panels.append(Panel("groups", "groups", _GROUPS, of, {"by": visit.query("by") or "model", **state}))
    if "rate" in charts and not problem and has_labels(visit.services, evaluation):
        panels.append(Panel("corrected", "corrected rates", _CORRECTED_RATES, of, state))
    return page(
        visit,
        "evaluation.html",
        panels=panels_of(visit, *panels),
        evaluation=evaluation,
        outline=outline,
        period=period,
        passing=passing_means(evaluation.output_config),
        spent=None
        if outline is None or not outline.budget
        else spending_of(visit.services, evaluation.id, evaluation.name, outline.budget),
        groups=GROUPS,
        by=visit.query("by"),
        problem=problem,
        drawn=drawn,
        most=_CHANGES,
        newest=newest,
    )


@dataclass(frozen=True, slots=True)
class DrawnFigures:
    """The part of the page that follows from the hourly figures.

    Attributes:
        charts: by name; none if there are no results.
        changes, outages: of the period, by time.
        latency: of the judge's calls; None if it made none.
        as_of: when the figures were read.
    """

    total: FiguresTally
    charts: Mapping[str, ChartWithData]
    changes: Sequence[JudgeChange]
    outages: Sequence[Outage]
    latency: Any
    as_of: datetime


def _key(visit: Visit, evaluation: Any) -> Hashable:
    return "drawn", evaluation.id, visit.zone.name


def _kept(visit: Visit, evaluation: Any, period: Period) -> DrawnFigures:
    # The charts cost more than the rest of the page, so readers of one zone share them.
    state = (evaluation.version, evaluation.revision)
    return visit.book.kept(_key(visit, evaluation), state, period, visit.now, lambda: _drawn(visit, evaluation, period))


def _newest(visit: Visit, evaluation: Any, period: Period) -> Markup:
    wanted = Wanted(team_id=visit.team, start=period.start, end=period.end, evaluation_id=evaluation.id)
    caption = "The newest results of this evaluation"
    return newest_table(visit, wanted, period, caption, limit=_NEWEST, with_evaluation=False).html


def _drawn(visit: Visit, evaluation: Any, period: Period) -> DrawnFigures:
    found = visit.book.cells(visit.services, visit.reader.session, evaluation, period)
    total = tally(found.cells, found.rule)
    buckets = buckets_of(period, visit.zone)
    judges = judges_of(found, buckets, moved_of(visit.services, evaluation))
    charts = charts_of(judges, total, tallies_of(found, buckets), buckets) if total.runs else {}
    history = history_of(visit.services, visit.reader.key, evaluation.id)
    outages = outages_of(history, period.start, period.end)
    return DrawnFigures(total, charts, changes_of(judges), outages, found.latency, found.as_of)


def show_corrected(visit: Visit) -> Response:
    """Show the chart of the pass rate once more, with the rate that labels make of it for each version."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period = visit.period("7d")
    found = visit.book.cells(visit.services, visit.reader.session, evaluation, period)
    buckets = buckets_of(period, visit.zone)
    trusts = visit.book.trusts(visit.services, evaluation, found.versions[-_CORRECTED:], period)
    pieces = [
        replace(piece, corrected=_band(trusts.get(piece.label.removeprefix("v"))))
        for piece in pieces_of(judges_of(found, buckets, moved_of(visit.services, evaluation)), buckets)
    ]
    start, end = buckets.edges[0], buckets.edges[-1]
    words = "The line has its 95 % interval, by version; the dashed level is the rate without the judge's errors."
    chart = rate_chart("Pass rate", pieces, start, end, buckets.ticks(), description=words) if pieces else None
    return fragment(visit, "corrected.html", chart=chart, trusts=list(trusts.values()), evaluation=evaluation)


def _band(trust: Any) -> tuple[float, float, float] | None:
    corrected = None if trust is None else trust.corrected
    if corrected is None or corrected.value is None or corrected.low is None or corrected.method == "ppi":
        return None
    return corrected.value, corrected.low, corrected.high


def show_groups(visit: Visit) -> Response:
    """Show the pass rate by a property of the generations."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period, by = visit.period("7d"), visit.query("by") or "model"
    found = groups_of(visit.services, visit.reader, evaluation, period.start, period.end, by)
    return fragment(visit, "groups.html", groups=found, by=by, passing=passing_means(evaluation.output_config))


def show_funnel(visit: Visit) -> Response:
    """Show how many of the newest events were seen, matched, sampled and judged."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period = visit.period("7d")
    found = funnel_of(visit.services, visit.reader.session, evaluation, period.start, period.end)
    return fragment(visit, "funnel.html", funnel=found, evaluation=evaluation)


_CORRECTED_RATES = Page("{team}/evaluations/{evaluation}/corrected/", show_corrected, "evaluation:read")
_GROUPS = Page("{team}/evaluations/{evaluation}/groups/", show_groups, "evaluation:read")
_FUNNEL = Page("{team}/evaluations/{evaluation}/funnel/", show_funnel, "evaluation:read")
PAGES = (
    Page("{team}/evaluations/{evaluation}/", show, "evaluation:read"),
    _CORRECTED_RATES,
    _GROUPS,
    _FUNNEL,
)
