"""Pages for what went wrong: what, where, under which id, and what still works."""

from __future__ import annotations

from datetime import datetime
from secrets import token_hex

import structlog
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from api.http.errors import ApiError, NotFound, PermissionDenied, Throttled, Unavailable
from api.services.bounded_archive import ArchiveAway
from console.render import bare, fragment, page
from console.times import Zone
from console.visit import Theme, Visit

log = structlog.get_logger("gavel.console")

_TITLES = {
    404: "Nothing is here",
    403: "Your key may not do this",
    429: "Too many requests",
    503: "Something does not answer",
    500: "Something went wrong",
    412: "Somebody else changed it first",
}

_TITLES_OF_CODES = {"clickhouse_other_release": "ClickHouse is not ready for this release"}

_STILL_WORKS = {
    "clickhouse_other_release": " Definitions and jobs can be read meanwhile.",
    "kafka_unavailable": " Health, budgets, and all pages of teams still work.",
    "store_unavailable": " Pages need it for every session. Events are still judged by the definitions read last.",
}


def failure(
    error: ApiError,
    visit: Visit | None,
    *,
    zone: Zone,
    theme: Theme,
    since: datetime | None = None,
    back: str = "",
) -> Response:
    """Return the page for `error`, with the navigation if the reader is known.

    Args:
        since: when the part that does not answer was first found away; None where that is not known.
        back: the address of the page with the form that was sent; empty if none was.
    """
    identity = _noted(error)
    values = {
        "title": _TITLES_OF_CODES.get(error.code) or _TITLES.get(error.status, "This was refused"),
        "detail": explained(error, zone, since),
        "identity": identity,
        "retry": isinstance(error, Unavailable | Throttled) or error.status == 500,
        "lacks_scope": isinstance(error, PermissionDenied),
        "back": back,
    }
    if visit is None:
        response = bare("failure_bare.html", zone=zone, theme=theme, status=error.status, **values)
    elif is_fragment(visit):
        response = fragment(visit, "failure_panel.html", **values)
        response.status_code = error.status
    else:
        response = page(visit, "failure.html", status=error.status, **values)
    for name, value in error.headers.items():
        if name.lower() != "www-authenticate":
            response.headers[name] = value
    return response


def _noted(error: ApiError) -> str:
    """Write a line of the log about a refusal, and return the id that it has there."""
    identity = token_hex(4)
    log.info("console_refused", id=identity, status=error.status, code=error.code)
    return identity


def without_figures(error: ApiError, zone: Zone, until: datetime | None) -> str:
    """Return the text of a page whose figures cannot be read.

    Args:
        until: when the figures that it shows instead were read; None if it shows none.
    """
    return explained(error, zone) + (f" The figures are data until {zone.text(until)}." if until else "")


def is_fragment(visit: Visit) -> bool:
    """Return whether the script asks for a part of a page."""
    return visit.request.headers.get("x-gavel-fragment") == "1"


def plain_failure(error: ApiError, *, zone: Zone, since: datetime | None) -> Response:
    """Return what the script gets for `error` when the reader is not known."""
    return PlainTextResponse(f"{explained(error, zone, since)} Error id {_noted(error)}", error.status)


def signed_out_fragment() -> Response:
    """Return what the script gets when the session is over."""
    return HTMLResponse("Your session is over. Reload the page to sign in.", 401)


def explained(error: ApiError, zone: Zone, since: datetime | None = None) -> str:
    """Return the text of a refusal: the missing part, the time since when it is away, and the pages that still work."""
    if isinstance(error, NotFound) and error.detail == NotFound.detail:
        return "There is no such page, or it belongs to a team whose key you have not entered."
    away = error.since if isinstance(error, ArchiveAway) else since
    words = f" It has been away since {zone.text(away)}." if away else ""
    return error.detail + words + _STILL_WORKS.get(error.code, "")
