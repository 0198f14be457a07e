"""The application under `/console/`: finds the reader of a request, checks the form, and calls the page.

Pages are plain functions that run on threads of the console's own, so that they never take those of the API.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from urllib.parse import parse_qs, quote

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.auth import team_of
from api.http.errors import ApiError, Conflict, Invalid, NotFound, PermissionDenied, Throttled, TooLarge, as_api_error
from api.http.measures import HttpMetrics, Measured, NoMetrics, NoteRoute
from api.http.middleware import SecurityHeaders, SoundRequest
from api.services.bounded_archive import SessionArchive
from api.services.console_access import ConsoleAccess, Reader, reader
from api.services.figures import FigureBook
from api.services.letter_desk import LetterDesk
from api.services.resources import Services
from api.services.shared_work import SharedWork
from api.services.slow_work import TooBusy
from api.services.trust_words import TrustWords
from console import assets
from console.absences import STORE, Absences
from console.failures import failure, plain_failure, signed_out_fragment
from console.pages import PAGES
from console.pages.registry import Page
from console.pages.sign_in import SIGN_IN, Guest, OpenPage
from console.parts import Parts
from console.preferences import read_theme, read_zone
from console.security import (
    PLAIN_COOKIE,
    SECURE_COOKIE,
    form_mark,
    form_token,
    is_encrypted,
    is_form_token,
    is_own_form,
    security_headers,
)
from console.visit import Visit

log = structlog.get_logger("gavel.console")

THREADS = 8
_MAX_FIELDS = 2000
_TABLES = 128
_BUSY_FOR_S = 5.0
_LOOKS, _LOOK_EVERY_S = 60, 0.25
"""How often, and how far apart, a form that was sent twice looks for the answer to the first time."""
_STILL = (
    "This form was sent already, and its answer is not there yet. Look at the page whether it did its work before you "
    "send it again."
)
_T = TypeVar("_T")
_FORM_TYPE = "application/x-www-form-urlencoded"
Form = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Slow:
    """A page that is slow work: who asks for it, and how it is made."""

    visit: Visit
    show: Callable[[], Response]


class _Underway(Response):
    """The form was sent before and is still being worked on; another look may find its answer."""


Responder = Callable[[Request, Form], Response | Slow]


class Console:
    """The web pages, as an application that is served beside the API.

    Args:
        letters: the dead letters, for operators.
        monotonic_s: clock of the limit on failed sign-ins, in seconds.
        metrics: count the requests.
        patience: how many times its deadline a panel gets that a page waits for.
    """

    def __init__(
        self,
        services: Services,
        *,
        letters: LetterDesk | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        metrics: HttpMetrics | None = None,
        patience: float = 1.0,
    ) -> None:
        self._services = services
        self._letters = letters
        self._access = ConsoleAccess(services, monotonic_s=monotonic_s)
        self._book = FigureBook()
        self._tables = SharedWork(_TABLES)
        self._words = TrustWords(monotonic_s)
        self._absences = Absences()
        counted = metrics or NoMetrics()
        counted.count("gavel_console_queries_refused", 0)  # its series begins at 0
        services.pages.count_refusals(lambda refused: counted.count("gavel_console_queries_refused", refused))
        self._threads = ThreadPoolExecutor(THREADS, "console")
        self._parts = Parts(self._part, patience)
        routes = [Route("/console/assets/{name}", assets.serve)]
        routes += [self._route(f"/console/{each.path}", each.method, self._open_page(each)) for each in SIGN_IN]
        routes += [self._route(f"/console/{each.path}", each.method, self._page(each)) for each in PAGES]
        self._routes = routes
        router = Router([*routes, Route("/console/{rest:path}", self._endpoint(self._nothing))], redirect_slashes=True)
        safe = SecurityHeaders(SoundRequest(NoteRoute(router)), security_headers(services.settings.console.hsts_s))
        self._app: ASGIApp = Measured(safe, metrics=counted, routes=routes)

    def serves(self, path: str) -> bool:
        """Return whether a request for `path` is for the console."""
        return path == "/console" or path.startswith("/console/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    def _route(self, path: str, method: str, answer: Responder) -> Route:
        return Route(path, self._endpoint(answer), methods=[method])

    def _endpoint(self, answer: Responder) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                form = await self._form(request)
            except ApiError as error:
                return self._failure(error, request, None)
            for _ in range(_LOOKS):
                response = await self._answered(request, partial(answer, request, form))
                if not isinstance(response, _Underway):
                    return response
                await asyncio.sleep(_LOOK_EVERY_S)
            loop, visit = asyncio.get_running_loop(), request.state.visit
            return await loop.run_in_executor(self._threads, self._failure, Conflict(_STILL), request, visit)

        return endpoint

    async def _answered(self, request: Request, answer: Callable[[], Response | Slow]) -> Response:
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._threads, self._safely, request, answer)
        return await self._slowly(request, made) if isinstance(made, Slow) else made

    async def _slowly(self, request: Request, page: Slow) -> Response:
        """Return a page that must not hold a thread that others need."""
        key = page.visit.reader.key
        try:
            return await self._services.slow.run(key.team_id, key.id, partial(self._safely, request, page.show))
        except TooBusy:
            loop, busy = asyncio.get_running_loop(), Throttled(_BUSY_FOR_S)
            return await loop.run_in_executor(self._threads, self._failure, busy, request, page.visit)

    async def _form(self, request: Request) -> Form:
        """Return the fields of a form, read up to `api.max_body_bytes`."""
        if request.method != "POST":
            return {}
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
            raise Invalid("The console takes forms only.")
        limit, body = self._services.settings.api.max_body_bytes, bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise TooLarge(f"The form is over {limit} bytes (setting api.max_body_bytes).")
            text = body.decode()
            if "\x00" in text or "%00" in text:
                raise Invalid("The form holds a NUL character, which cannot be stored.")
            return parse_qs(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except (ValueError, ClientDisconnect) as error:
            raise Invalid("The form cannot be read.") from error

    def _safely(self, request: Request, make: Callable[[], _T]) -> _T | Response:
        """Return the answer, or the page for the error. The reader is kept in `request.state` for that page."""
        with self._services.precedence.page():
            try:
                return make()
            except Exception as error:  # noqa: BLE001  # whatever it is, the reader gets a page and the log a line
                known = as_api_error(error)
                if known is None:
                    last = traceback.extract_tb(error.__traceback__)[-1]
                    log.error("console_failed", error=type(error).__name__, where=f"{last.filename}:{last.lineno}")
                    known = ApiError("The page could not be made. The log of the API has a line about it.")
                return self._failure(known, request, getattr(request.state, "visit", None))

    def _failure(self, error: ApiError, request: Request, visit: Visit | None) -> Response:
        since = self._absences.noticed(error.code, self._services.now())
        if visit is None and request.headers.get("x-gavel-fragment") == "1":
            return plain_failure(error, zone=read_zone(request), since=since)
        back = self._way_back(request.url.path) if visit is not None and request.method == "POST" else ""
        return failure(error, visit, zone=read_zone(request), theme=read_theme(request), since=since, back=back)

    def _way_back(self, path: str) -> str:
        """Return the path of the page with the form that was sent to `path`: the same one, or the next one above."""
        for found in (path, path.rstrip("/").rpartition("/")[0] + "/"):
            asked = {"type": "http", "method": "GET", "path": found}
            if any(each.matches(asked)[0] is Match.FULL for each in self._routes):
                return found
        return "/console/"

    def _nothing(self, request: Request, _form: Form) -> Response:
        path = request.url.path
        if request.method == "GET" and not path.endswith("/") and "//" not in path:
            return RedirectResponse(f"{path}/" + (f"?{request.url.query}" if request.url.query else ""), 307)
        raise NotFound

    def _open_page(self, page: OpenPage) -> Responder:
        def answer(request: Request, form: Form) -> Response:
            public_url = self._services.settings.api.public_url
            secret = _session_secret(request, public_url)
            zone, theme = read_zone(request), read_theme(request)
            guest = Guest(request, self._services, self._access, zone, theme, form, secret)
            if request.method == "POST":
                _check_origin(request, public_url)
                if page.of_session:
                    _check_token(guest.field("token"), secret)
            return page.show(guest)

        return answer

    def _page(self, page: Page) -> Responder:
        def answer(request: Request, form: Form) -> Response | Slow:
            secret = _session_secret(request, self._services.settings.api.public_url)
            # The timer of an open page must not keep the session of a reader who has left.
            session = self._access.find(secret, is_seen=request.headers.get("x-gavel-live") != "1")
            if secret is not None:
                self._absences.answered(STORE)
            if session is None or secret is None:
                return _to_sign_in(request)
            team = _team(request.path_params["team"]) if page.of_team else None
            found = reader(session, team)
            if found is None:
                # The frame of the page shows what else the session may see.
                request.state.visit = self._visit(
                    request, form, Reader(session.name, session.keys[0], session.keys), secret
                )
                raise NotFound
            visit = request.state.visit = self._visit(request, form, found, secret)
            if request.method == "POST":
                _check_origin(request, self._services.settings.api.public_url)
                _check_token(visit.field("token"), secret)
            visit.need(*page.scopes)
            return Slow(visit, partial(self._once, visit, page)) if page.is_slow(visit) else self._once(visit, page)

        return answer

    def _once(self, visit: Visit, page: Page) -> Response:
        """Return what a form leads to. A form that is sent twice is worked on once, and both lead to the same page."""
        if not visit.field("once"):
            return self._shown(visit, page)
        mark = form_mark(visit.token, visit.request.url.path, visit.form)
        before = self._access.sent_forms.claim(mark, now=visit.now)
        if before is not None:
            return _Underway() if before.answer is None else RedirectResponse(before.answer, 303)
        led = None
        try:
            shown = self._shown(visit, page)
            led = shown.headers["location"] if shown.status_code == 303 else None
        finally:
            self._access.sent_forms.settle(mark, led)
        return shown

    def _shown(self, visit: Visit, page: Page) -> Response:
        shown = page.show(visit)
        if page.asks is not None:
            self._absences.answered(page.asks)
        return shown

    def _part(self, visit: Visit, page: Page) -> Response:
        """Return a panel of another page, or the failure in its place, as the request of the script would get it."""

        def answer() -> Response:
            visit.need(*page.scopes)
            return self._shown(visit, page)

        return self._safely(visit.request, answer)

    def _visit(self, request: Request, form: Form, found: Reader, secret: str) -> Visit:
        return Visit(
            request=request,
            services=replace(self._services, archive=SessionArchive(self._services.pages, found.session)),
            book=self._book,
            tables=self._tables,
            words=self._words,
            reader=found,
            zone=read_zone(request),
            theme=read_theme(request),
            token=form_token(secret),
            now=self._services.now(),
            form=form,
            parts=self._parts,
            letters=self._letters,
        )


def _session_secret(request: Request, public_url: str | None) -> str | None:
    # Over HTTPS the plain cookie does not count, because whoever sits on the network could have set it.
    return request.cookies.get(SECURE_COOKIE if is_encrypted(request, public_url) else PLAIN_COOKIE)


def _team(text: str) -> int:
    team = team_of(text)
    if not team:
        raise NotFound
    return team


def _check_origin(request: Request, public_url: str | None) -> None:
    if not is_own_form(request, public_url):
        raise PermissionDenied("The form does not come from this console. Reload the page and send it again.")


def _check_token(token: str, secret: str | None) -> None:
    if secret is None or not is_form_token(token, secret):
        raise PermissionDenied("The form does not come from this session. Reload the page and send it again.")


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("x-gavel-fragment") == "1":
        return signed_out_fragment()
    path = request.url.path if request.method == "GET" else "/console/"
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    return RedirectResponse(f"/console/sign-in/?next={quote(path + query)}", 303)
