"""The table of evaluations, with search, filters, and changes of several at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from api.http.concurrency import Expected
from api.http.errors import ApiError, Invalid
from api.services.definitions import change, patch
from api.services.figures import Figures, TeamFigures
from console.charts.rate import sparkline
from console.failures import without_figures
from console.pages.registry import Page, post
from console.preferences import own_address
from console.render import page
from console.visit import Visit, read_number

_ROWS = 50
_AT_ONCE = 200
STATUSES = ("active", "paused", "error")
TYPES = ("hog", "llm_judge")


def show(visit: Visit) -> Response:
    """Show the table. Without ClickHouse it has the last figures, or none."""
    period = visit.period("7d")
    outlines = visit.outlines
    problem = ""
    try:
        found: TeamFigures | None = visit.figures(period)
    except ApiError as error:
        found = visit.last_figures(period)
        problem = without_figures(error, visit.zone, found.as_of if found else None)
    figures = found.by_id if found else {}
    text, status, kind = visit.query("q"), visit.choice("status", STATUSES), visit.choice("type", TYPES)
    wanted = outlines.matching(text, status, kind)
    sort = visit.choice("sort", ("name", *_ORDERS), "name")
    if sort in _ORDERS:
        key, descending = _ORDERS[sort]
        wanted = sorted(wanted, key=lambda each: key(each, figures.get(each.id)), reverse=descending)
    start = read_number(visit.query("cursor")) or 0
    listed = wanted[start : start + _ROWS]
    versions = [(each.id, each.version) for each in listed]
    return page(
        visit,
        "evaluations.html",
        period=period,
        rows=[(each, figures.get(each.id)) for each in listed],
        trust=visit.words.of(visit.services, visit.team, versions, visit.now),
        matching=len(wanted),
        total=len(outlines),
        start=start,
        size=_ROWS,
        filters={"q": text, "status": status, "type": kind},
        sort=sort,
        statuses=STATUSES,
        types=TYPES,
        spark=sparkline,
        problem=problem,
        done=visit.notice("done"),
        refused=visit.notice("refused"),
    )


def switch(visit: Visit) -> Response:
    """Enable or pause the chosen evaluations. One that cannot be enabled does not keep the others from it."""
    chosen = visit.form.get("id", [])
    if not chosen:
        raise Invalid("Choose at least one evaluation.")
    if len(chosen) > _AT_ONCE:
        raise Invalid(f"At most {_AT_ONCE} evaluations change at once.")
    enabled = visit.field("action") == "enable"
    done, problems = 0, []
    for each in chosen:
        try:
            change(
                visit.services,
                visit.reader.key,
                each,
                lambda current: patch(current, {"enabled": enabled}),
                expected=Expected(),
            )
            done += 1
        except ApiError as error:
            problems.append(error.detail)
    back = own_address(visit.field("next"))
    words = f"{done} {'enabled' if enabled else 'paused'}"
    mark = "&" if "?" in back else "?"
    said = visit.signed(done=words, refused=f"{len(problems)} refused: {problems[0]}" if problems else "")
    return RedirectResponse(f"{back}{mark}{urlencode(said)}", 303)


def _rate(figures: Figures | None) -> float:
    rate = figures.now.pass_rate if figures else None
    return 2.0 if rate is None else rate


Order = Callable[[Any, Figures | None], Any]
_ORDERS: Mapping[str, tuple[Order, bool]] = {
    "rate": (lambda _, figures: _rate(figures), False),
    "failures": (lambda _, figures: figures.now.failed if figures else 0, True),
    "cost": (lambda _, figures: figures.now.cost_usd if figures else 0.0, True),
    "changed": (lambda each, _: each.updated_at, True),
}

PAGES = (
    Page("{team}/evaluations/", show, "evaluation:read"),
    post("{team}/evaluations/", switch, "evaluation:write"),
)
