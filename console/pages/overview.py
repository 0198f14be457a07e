"""The overview shows the largest changes, evaluations that stopped, the cost, and the newest failures."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from api.http.errors import ApiError
from api.services.figures import Figures, TeamFigures
from api.services.jobs import open_backfills
from api.services.moves import moves_of
from api.services.newest_results import Wanted
from api.services.operations import running_replays
from api.services.spending import TeamSpending, spending_today
from api.services.team_outlines import TeamOutlines
from api.services.trust_desk import open_measurements
from console.charts.rate import sparkline
from console.failures import explained, without_figures
from console.newest import newest_table
from console.pages.registry import Page
from console.render import fragment, page
from console.visit import Period, Visit

_CHANGES, _FAILURES, _STOPPED = 8, 10, 20


def show(visit: Visit) -> Response:
    """Show the overview. Without ClickHouse it shows the rest with the last figures, and says what is missing."""
    return page(visit, "overview.html", **_values(visit))


def show_part(visit: Visit) -> Response:
    """Show the same without the frame, for the refresh."""
    return fragment(visit, "overview_part.html", **_values(visit))


def _values(visit: Visit) -> dict[str, Any]:
    period = visit.period("24h")
    outlines = visit.outlines
    failures: Markup | None = None
    problem = ""
    try:
        figures: TeamFigures | None = visit.figures(period)
    except ApiError as error:
        figures = visit.last_figures(period)
        problem = without_figures(error, visit.zone, figures.as_of if figures else None)
    if not problem:
        try:
            failures = _newest_failures(visit, period)
        except ApiError as error:
            problem = explained(error, visit.zone)
    return {
        "period": period,
        "outlines": outlines,
        "enabled": outlines.enabled,
        "stopped": outlines.stopped[:_STOPPED],
        "moves": moves_of(visit.services, visit.team, outlines, visit.now)[:_STOPPED],
        "moved": _moved(outlines, figures),
        "failures": failures,
        "totals": figures.totals if figures else None,
        "spent": _spending(visit),
        "jobs": open_backfills(visit.services, visit.team),
        "runs": open_measurements(visit.services, visit.team),
        "replays": running_replays(visit.services),
        "spark": sparkline,
        "problem": problem,
    }


def _moved(outlines: TeamOutlines, figures: TeamFigures | None) -> list[tuple[Any, Figures]] | None:
    """Return the largest changes; None if there are no figures. Last figures may be of evaluations that are gone."""
    if figures is None:
        return None
    known = ((outlines.by_id.get(each), found) for each, found in figures.moved)
    return list(islice(((outline, found) for outline, found in known if outline is not None), _CHANGES))


def _newest_failures(visit: Visit, period: Period) -> Markup:
    wanted = Wanted(team_id=visit.team, start=period.start, end=period.end + timedelta(minutes=5), verdict="fail")
    return newest_table(visit, wanted, period, "The newest failures of all evaluations", limit=_FAILURES).html


def _spending(visit: Visit) -> TeamSpending:
    return spending_today(visit.services, visit.team)


PAGES = (
    Page("{team}/", show, "evaluation:read"),
    Page("{team}/part/", show_part, "evaluation:read"),
)
