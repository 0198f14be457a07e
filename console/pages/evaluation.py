"""One evaluation: its pass rate by version, outcomes and skips, values, cost, and where events get lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from api.http.errors import ApiError
from api.services.definitions import find
from api.services.figures import FiguresTally, tally
from api.services.newest_results import Wanted
from api.services.one_evaluation import GROUPS, EvaluationCells, funnel_of, groups_of
from api.services.spending import spending_of
from api.services.trust_desk import has_labels, moved_of
from api.services.verdicts import passing_means
from console.buckets import Buckets, buckets_of
from console.charts.bars import Series, Stack, stacked_bars, value_bars
from console.charts.rate import Piece, Point, rate_chart
from console.failures import explained
from console.newest import newest_table
from console.pages.registry import Page
from console.render import fragment, page
from console.visit import Period, Visit

_SERIES = (
    Series("passed", "c-pass"),
    Series("failed", "c-fail"),
    Series("scored", "c-score"),
    Series("not applicable", "c-na"),
    Series("skipped", "c-skip"),
)
_COST = (Series("USD", "c-accent"),)
_NEWEST = 10
_MOST_VALUES = 20
_CORRECTED = 3
"""Newest versions of a period whose corrected rates are shown."""


def show(visit: Visit) -> Response:
    """Show the page. Without ClickHouse it shows the definition and says what is missing."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period = visit.period("7d")
    outline = visit.outlines.by_id.get(evaluation.id)
    values: dict[str, Any] = {}
    problem = ""
    try:
        values = _figures(visit, evaluation, period)
    except ApiError as error:
        problem = explained(error, visit.zone)
    return page(
        visit,
        "evaluation.html",
        evaluation=evaluation,
        outline=outline,
        period=period,
        passing=passing_means(evaluation.output_config),
        spent=None
        if outline is None or not outline.budget
        else spending_of(visit.services, evaluation.id, evaluation.name, outline.budget),
        groups=GROUPS,
        by=visit.query("by"),
        labelled=bool(values) and has_labels(visit.services, evaluation),
        problem=problem,
        **(_EMPTY | values),
    )


_EMPTY: dict[str, Any] = {
    "total": None, "charts": None, "newest": Markup(), "latency": None, "table": (), "as_of": None,
}  # fmt: skip


def _figures(visit: Visit, evaluation: Any, period: Period) -> dict[str, Any]:
    # The charts cost more than the rest of the page, so readers of one zone share them.
    key = ("drawn", evaluation.id, evaluation.version, evaluation.revision, period.end - period.start, visit.zone.name)
    drawn = visit.book.kept(key, period.end, lambda: _drawn(visit, evaluation, period))
    wanted = Wanted(team_id=visit.team, start=period.start, end=period.end, evaluation_id=evaluation.id)
    newest = newest_table(
        visit, wanted, period, "The newest results of this evaluation", limit=_NEWEST, with_evaluation=False
    ).html
    return {**drawn, "newest": newest}


def _drawn(visit: Visit, evaluation: Any, period: Period) -> dict[str, Any]:
    """Return what the page shows of the hourly figures."""
    found = visit.book.cells(visit.services, visit.reader.session, evaluation, period.start, period.end)
    total = tally(found.cells, found.rule)
    buckets = buckets_of(period, visit.zone)
    tallies = _by_bucket(found, buckets)
    return {
        "total": total,
        "charts": _charts(found, total, tallies, buckets, moved_of(visit.services, evaluation)) if total.runs else None,
        "latency": found.latency,
        "as_of": found.as_of,
        "table": [(buckets.label(place), each) for place, each in enumerate(tallies) if each.runs],
    }


def _by_bucket(found: EvaluationCells, buckets: Buckets) -> list[FiguresTally]:
    tallies = [FiguresTally() for _ in range(len(buckets))]
    for cell in found.cells:
        place = buckets.place(cell.start)
        if place is not None:
            tallies[place].add(cell, found.rule)
    return tallies


def _charts(
    found: EvaluationCells, total: FiguresTally, tallies: Sequence[FiguresTally], buckets: Buckets,
    moved: Mapping[str, Sequence[datetime]],
) -> dict[str, object]:  # fmt: skip
    start, end, ticks = buckets.edges[0], buckets.edges[-1], buckets.ticks()
    pieces = _pieces(found, buckets, moved)
    versions = ", ".join(piece.label for piece in pieces)
    stacks = [
        Stack(
            buckets.edges[place],
            buckets.edges[place + 1],
            buckets.label(place),
            (each.passed, each.failed, each.scored, each.not_applicable, each.skips),
        )
        for place, each in enumerate(tallies)
    ]
    costs = [
        Stack(buckets.edges[place], buckets.edges[place + 1], buckets.label(place), (round(each.cost_usd, 4),))
        for place, each in enumerate(tallies)
    ]
    reasons: Counter[str] = total.skipped
    return {
        "rate": rate_chart(
            "Pass rate",
            pieces,
            start,
            end,
            ticks,
            description=f"The line has its 95 % interval, by version: {versions}.",
        )
        if pieces
        else None,
        "volume": stacked_bars("Results", _SERIES, stacks, start, end, ticks, description="Outcomes over time."),
        "cost": stacked_bars("Cost in USD", _COST, costs, start, end, ticks, description="Over time.", height=130)
        if total.cost_usd
        else None,
        "skips": value_bars(
            "Results without a verdict",
            [
                *([("not applicable", total.not_applicable, "c-na")] if total.not_applicable else []),
                *((reason.replace("_", " "), count, "c-skip") for reason, count in reasons.most_common()),
            ],
            description="Not applicable, and skips by reason.",
        )
        if total.not_applicable or reasons
        else None,
        "scores": value_bars(
            "Scores",
            [(f"{score:g}", count, "c-score") for score, count in sorted(total.scores.items())[:_MOST_VALUES]],
            description="How often each score was given.",
        )
        if total.scores
        else None,
        "categories": value_bars(
            "Categories",
            [(name, count, "c-score") for name, count in total.categories.most_common(_MOST_VALUES)],
            description="How often each category was chosen.",
        )
        if total.categories
        else None,
    }


def show_corrected(visit: Visit) -> Response:
    """Show the chart of the pass rate once more, with the rate that labels make of it for each version."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period = visit.period("7d")
    found = visit.book.cells(visit.services, visit.reader.session, evaluation, period.start, period.end)
    buckets = buckets_of(period, visit.zone)
    trusts = visit.book.trusts(visit.bounded, evaluation, found.versions[-_CORRECTED:], period.start, period.end)
    pieces = [
        replace(piece, corrected=_band(trusts.get(piece.label.removeprefix("v"))))
        for piece in _pieces(found, buckets, moved_of(visit.services, evaluation))
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


def _pieces(found: EvaluationCells, buckets: Buckets, moved: Mapping[str, Sequence[datetime]]) -> list[Piece]:
    """Return one piece per fingerprint, in the order of their first results.

    A judge that moved is another one, so its piece ends there too.

    Args:
        moved: fingerprint → when its judge moved.
    """
    kinds: dict[tuple[str, int], list[FiguresTally]] = {}
    versions: dict[str, int] = {}
    for cell in found.cells:
        place = buckets.place(cell.start)
        if place is None:
            continue
        times = sum(moment <= cell.start for moment in moved.get(cell.fingerprint, ()))
        key = (cell.fingerprint, times)
        if key not in kinds:
            kinds[key] = [FiguresTally() for _ in range(len(buckets))]
        kinds[key][place].add(cell, found.rule)
        versions[cell.fingerprint] = max(versions.get(cell.fingerprint, 0), cell.version)
    pieces = []
    for (fingerprint, times), tallies in kinds.items():
        points = tuple(
            Point(buckets.middle(place), each.pass_rate, *each.interval)
            for place, each in enumerate(tallies)
            if each.pass_rate is not None and each.interval is not None
        )
        if points:
            label = f"v{versions[fingerprint]}"
            pieces.append(
                Piece(f"{label} moved" if times == 1 else f"{label} moved {times}" if times else label, points)
            )
    return sorted(pieces, key=lambda piece: piece.points[0].at)


def show_groups(visit: Visit) -> Response:
    """Show the pass rate by a property of the generations."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period, by = visit.period("7d"), visit.query("by") or "model"
    rows = groups_of(visit.services, visit.reader.session, evaluation, period.start, period.end, by)
    return fragment(visit, "groups.html", rows=rows, by=by, passing=passing_means(evaluation.output_config))


def show_funnel(visit: Visit) -> Response:
    """Show how many of the newest events were seen, matched, sampled and judged."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period = visit.period("7d")
    found = funnel_of(visit.services, visit.reader.session, evaluation, period.start, period.end)
    return fragment(visit, "funnel.html", funnel=found, evaluation=evaluation)


PAGES = (
    Page("{team}/evaluations/{evaluation}/", show, "evaluation:read"),
    Page("{team}/evaluations/{evaluation}/corrected/", show_corrected, "evaluation:read"),
    Page("{team}/evaluations/{evaluation}/groups/", show_groups, "evaluation:read"),
    Page("{team}/evaluations/{evaluation}/funnel/", show_funnel, "evaluation:read"),
)
