"""The overview shows the largest changes, evaluations that stopped, the cost, and the newest failures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from api.http.errors import ApiError
from api.services.figures import NO_FIGURES
from api.services.jobs import open_backfills
from api.services.moves import moves_of
from api.services.newest_results import Wanted
from api.services.spending import TeamSpending, spending_today
from console.charts.rate import sparkline
from console.failures import explained
from console.newest import newest_table
from console.pages.registry import Page
from console.render import fragment, page
from console.visit import Period, Visit

_CHANGES, _FAILURES, _STOPPED = 8, 10, 20


def show(visit: Visit) -> Response:
    """Show the overview. Without ClickHouse it shows the rest and says what is missing."""
    return page(visit, "overview.html", **_values(visit))


def show_part(visit: Visit) -> Response:
    """Show the same without the frame, for the refresh."""
    return fragment(visit, "overview_part.html", **_values(visit))


def _values(visit: Visit) -> dict[str, Any]:
    period = visit.period("24h")
    outlines = visit.outlines
    failures = Markup()
    problem = ""
    figures = NO_FIGURES
    try:
        figures = visit.figures(period)
        failures = _newest_failures(visit, period)
    except ApiError as error:
        problem = explained(error, visit.zone)
    return {
        "period": period,
        "outlines": outlines,
        "enabled": outlines.enabled,
        "stopped": outlines.stopped[:_STOPPED],
        "moves": moves_of(visit.services, visit.team, outlines, visit.now)[:_STOPPED],
        "moved": [(outlines.by_id[each], found) for each, found in figures.moved[:_CHANGES]],
        "failures": failures,
        "totals": figures.totals,
        "spent": _spending(visit),
        "jobs": open_backfills(visit.services, visit.team),
        "spark": sparkline,
        "problem": problem,
    }


def _newest_failures(visit: Visit, period: Period) -> Markup:
    wanted = Wanted(team_id=visit.team, start=period.start, end=period.end + timedelta(minutes=5), verdict="fail")
    return newest_table(visit, wanted, period, "The newest failures of all evaluations", limit=_FAILURES).html


def _spending(visit: Visit) -> TeamSpending:
    return spending_today(visit.services, visit.team)


PAGES = (
    Page("{team}/", show, "evaluation:read"),
    Page("{team}/part/", show_part, "evaluation:read"),
)
