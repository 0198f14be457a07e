"""Theme and time zone of a reader: cookies that hold nothing else, because they matter before sign-in too."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from console.times import Zone, find_zone
from console.visit import Theme

_YEAR_S = 365 * 86_400
THEME_COOKIE, ZONE_COOKIE = "gavel-theme", "gavel-zone"


def read_theme(request: Request) -> Theme:
    """Return the chosen theme; `system` follows the reader's system."""
    chosen = request.cookies.get(THEME_COOKIE)
    return "dark" if chosen == "dark" else "light" if chosen == "light" else "system"


def read_zone(request: Request) -> Zone:
    """Return the zone of the address (`tz`), else the reader's, else UTC."""
    return find_zone(request.query_params.get("tz")) or find_zone(request.cookies.get(ZONE_COOKIE)) or Zone("UTC")


def remember(response: Response, *, theme: str = "", zone: str = "", secure: bool) -> None:
    """Put the choices that are valid into cookies."""
    chosen = {}
    if theme in ("system", "light", "dark"):
        chosen[THEME_COOKIE] = theme
    if (found := find_zone(zone)) is not None:
        chosen[ZONE_COOKIE] = found.name
    for name, value in chosen.items():
        response.set_cookie(name, value, max_age=_YEAR_S, path="/console", secure=secure, httponly=True, samesite="lax")


def back_to(address: str) -> Response:
    """Return a redirect to a page of the console; an address that leads elsewhere means the start page."""
    return RedirectResponse(own_address(address), 303)


def own_address(address: str) -> str:
    """Return `address` if it is a path of the console, else the start page. No other host can be in it."""
    fine = address.startswith("/console/") and "\\" not in address and address.isascii() and address.isprintable()
    return address if fine and "//" not in address.partition("?")[0] else "/console/"
