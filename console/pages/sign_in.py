"""Sign in with an API key or a one-time link, sign out, and the preferences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.http.auth import client_address
from api.http.errors import ApiError, NotAuthenticated, PermissionDenied, Throttled
from api.services.console_access import COOKIE_LIFE_S, MAX_SECRET_CHARS, ConsoleAccess
from api.services.resources import Services
from console.navigation import first_page
from console.preferences import back_to, own_address, remember
from console.render import bare
from console.security import PLAIN_COOKIE, SECURE_COOKIE, is_encrypted, may_sign_in
from console.times import MAX_ZONE_NAME, Zone, find_zone, zone_problem
from console.visit import Theme


@dataclass(frozen=True, slots=True)
class Guest:
    """A request that may come from somebody who is not signed in."""

    request: Request
    services: Services
    access: ConsoleAccess
    zone: Zone
    theme: Theme
    form: Mapping[str, list[str]]
    session_secret: str | None

    def field(self, name: str) -> str:
        """Return the last value of a field of the form."""
        return self.form.get(name, [""])[-1]

    @property
    def address(self) -> str:
        """By which failed sign-ins are counted."""
        return client_address(self.request.scope)

    @property
    def secure(self) -> bool:
        """Whether the browser speaks HTTPS."""
        return is_encrypted(self.request, self.services.settings.api.public_url)


@dataclass(frozen=True, slots=True)
class OpenPage:
    """A page that needs no session.

    Attributes:
        of_session: whether its form stands on pages of a session, and so carries the token of that session.
    """

    path: str
    show: Callable[[Guest], Response]
    method: str = "GET"
    of_session: bool = False


def start(guest: Guest) -> Response:
    """Lead to the overview of the first team, to the operator's pages, or to the sign-in."""
    session = guest.access.find(guest.session_secret)
    if session is None:
        return RedirectResponse("/console/sign-in/", 303)
    return RedirectResponse(first_page(session.keys[0].team_id, session.keys[0].allows), 303)


def start_operations(_guest: Guest) -> Response:
    """Lead to the first page of operators."""
    return RedirectResponse("/console/operations/health/", 303)


def show_sign_in(guest: Guest) -> Response:
    """Show the form that takes a key."""
    return _form(guest, next_address=own_address(guest.request.query_params.get("next", "/console/")))


def sign_in(guest: Guest) -> Response:
    """Take a key and open a session."""
    wanted = own_address(guest.field("next"))
    try:
        _check_place(guest)
        secret = guest.field("key")
        if len(secret) > MAX_SECRET_CHARS:
            raise NotAuthenticated("This is too long for an API key.", code="authentication_failed")
        key, session_secret = guest.access.enter(
            secret, guest.session_secret, address=client_address(guest.request.scope)
        )
    except ApiError as error:
        return _form(guest, next_address=wanted, error=error)
    return _entered(guest, wanted, first_page(key.team_id, key.allows), session_secret)


def show_link(guest: Guest) -> Response:
    """Show the button that uses a one-time link. Opening the page alone changes nothing."""
    code = guest.request.query_params.get("code", "")[:MAX_SECRET_CHARS]
    return bare("link.html", zone=guest.zone, theme=guest.theme, code=code, problem=None)


def use_link(guest: Guest) -> Response:
    """Use up a one-time link and open a session."""
    try:
        _check_place(guest)
        code = guest.field("code")[:MAX_SECRET_CHARS]
        key, session_secret = guest.access.enter_by_link(
            code, guest.session_secret, address=client_address(guest.request.scope)
        )
    except ApiError as error:
        return _form(guest, next_address="/console/", error=error)
    return _entered(guest, "/console/", first_page(key.team_id, key.allows), session_secret)


def sign_out(guest: Guest) -> Response:
    """End the session."""
    if guest.session_secret is not None:
        guest.access.leave(guest.session_secret)
    response = RedirectResponse("/console/sign-in/", 303)
    for name in (SECURE_COOKIE, PLAIN_COOKIE):
        response.delete_cookie(name, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="lax")
    return response


def keep_preferences(guest: Guest) -> Response:
    """Remember theme and zone, and lead back. A zone that does not exist gives the form back, and nothing is kept."""
    theme, zone = guest.field("theme"), guest.field("zone").strip()[:MAX_ZONE_NAME]
    if "zone" in guest.form and find_zone(zone) is None:
        return bare(
            "preferences.html", zone=guest.zone, theme=guest.theme, status=400, chosen=theme, typed=zone,
            problem=zone_problem(zone), next_address=own_address(guest.field("next")), token=guest.field("token"),
        )  # fmt: skip
    response = back_to(guest.field("next"))
    remember(response, theme=theme, zone=zone, secure=guest.secure)
    return response


def _form(guest: Guest, *, next_address: str, error: ApiError | None = None) -> Response:
    public_url = guest.services.settings.api.public_url
    response = bare(
        "sign_in.html",
        zone=guest.zone,
        theme=guest.theme,
        status=200 if error is None else error.status,
        next_address=next_address,
        problem=None if error is None else error.detail,
        allowed=may_sign_in(guest.request, public_url),
        public_url=public_url,
        signed_in=guest.access.find(guest.session_secret) is not None,
    )
    if isinstance(error, Throttled):
        response.headers.update(error.headers)
    return response


def _check_place(guest: Guest) -> None:
    if not may_sign_in(guest.request, guest.services.settings.api.public_url):
        raise PermissionDenied(
            "Over plain HTTP only this machine itself may sign in. Use HTTPS; a proxy must send X-Forwarded-Proto."
        )


def _entered(guest: Guest, wanted: str, start_page: str, session_secret: str) -> Response:
    response = RedirectResponse(start_page if wanted == "/console/" else wanted, 303)
    response.set_cookie(
        SECURE_COOKIE if guest.secure else PLAIN_COOKIE,
        session_secret,
        max_age=COOKIE_LIFE_S,
        path="/",
        secure=guest.secure,
        httponly=True,
        samesite="lax",
    )
    if "gavel-zone" not in guest.request.cookies:
        remember(response, zone=guest.field("zone"), secure=guest.secure)
    return response


SIGN_IN = (
    OpenPage("", start),
    OpenPage("operations/", start_operations),
    OpenPage("sign-in/", show_sign_in),
    OpenPage("sign-in/", sign_in, "POST"),
    OpenPage("link/", show_link),
    OpenPage("link/", use_link, "POST"),
    OpenPage("sign-out/", sign_out, "POST", of_session=True),
    OpenPage("preferences/", keep_preferences, "POST", of_session=True),
)
