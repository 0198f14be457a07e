"""The application under `/console/`: finds the reader of a request, checks the form, and calls the page.

Pages are plain functions that run on threads of the console's own, so that they never take those of the API.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, quote

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import ApiError, Invalid, NotFound, PermissionDenied, TooLarge, as_api_error
from api.http.measures import HttpMetrics, Measured, NoMetrics, NoteRoute
from api.http.middleware import SoundRequest
from api.services.console_access import ConsoleAccess, Reader, reader
from api.services.figures import FigureBook
from api.services.letter_desk import LetterDesk
from api.services.resources import Services
from api.services.shared_work import SharedWork
from api.services.trust_words import TrustWords
from console import assets
from console.absences import STORE, Absences
from console.failures import failure, signed_out_fragment
from console.pages import PAGES
from console.pages.registry import Page
from console.pages.sign_in import SIGN_IN, Guest, OpenPage
from console.preferences import read_theme, read_zone
from console.security import PLAIN_COOKIE, SECURE_COOKIE, form_token, is_encrypted, is_form_token, is_own_form, protect
from console.visit import Visit

log = structlog.get_logger("gavel.console")

THREADS = 8
_MAX_FIELDS = 2000
_TABLES = 128
_MAX_TEAM_DIGITS = 18
_FORM_TYPE = "application/x-www-form-urlencoded"
Form = Mapping[str, list[str]]
Answer = Callable[[Request, Form], Response]


class Console:
    """The web pages, as an application that is served beside the API.

    Args:
        letters: the dead letters, for operators.
        monotonic_s: clock of the limit on failed sign-ins, in seconds.
        metrics: count the requests.
    """

    def __init__(
        self,
        services: Services,
        *,
        letters: LetterDesk | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        metrics: HttpMetrics | None = None,
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
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="console")
        routes = [Route("/console/assets/{name}", _asset)]
        routes += [self._route(f"/console/{each.path}", each.method, self._open_page(each)) for each in SIGN_IN]
        routes += [self._route(f"/console/{each.path}", each.method, self._page(each)) for each in PAGES]
        router = Router([*routes, Route("/console/{rest:path}", self._endpoint(self._nothing))], redirect_slashes=True)
        sound = SoundRequest(NoteRoute(router))
        self._app: ASGIApp = Measured(sound, metrics=counted, routes=routes)

    def serves(self, path: str) -> bool:
        """Return whether a request for `path` is for the console."""
        return path == "/console" or path.startswith("/console/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    def _route(self, path: str, method: str, answer: Answer) -> Route:
        return Route(path, self._endpoint(answer), methods=[method])

    def _endpoint(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                form = await self._form(request)
            except ApiError as error:
                response = self._failure(error, request, None)
            else:
                loop = asyncio.get_running_loop()
                response = await loop.run_in_executor(self._threads, self._safely, answer, request, form)
            return protect(response, hsts_s=self._services.settings.console.hsts_s)

        return endpoint

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

    def _safely(self, answer: Answer, request: Request, form: Form) -> Response:
        """Return the answer, or the page for the error. The reader is kept in `request.state` for that page."""
        try:
            return answer(request, form)
        except Exception as error:  # noqa: BLE001  # whatever it is, the reader gets a page and the log a line
            known = as_api_error(error)
            if known is None:
                last = traceback.extract_tb(error.__traceback__)[-1]
                log.error("console_failed", error=type(error).__name__, where=f"{last.filename}:{last.lineno}")
                known = ApiError("The page could not be made. The log of the API has a line about it.")
            return self._failure(known, request, getattr(request.state, "visit", None))

    def _failure(self, error: ApiError, request: Request, visit: Visit | None) -> Response:
        since = self._absences.noticed(error.code, self._services.now())
        return failure(error, visit, zone=read_zone(request), theme=read_theme(request), since=since)

    def _nothing(self, request: Request, _form: Form) -> Response:
        path = request.url.path
        if request.method == "GET" and not path.endswith("/") and "//" not in path:
            return RedirectResponse(f"{path}/" + (f"?{request.url.query}" if request.url.query else ""), 307)
        raise NotFound

    def _open_page(self, page: OpenPage) -> Answer:
        def answer(request: Request, form: Form) -> Response:
            if request.method == "POST" and not is_own_form(request, self._services.settings.api.public_url):
                raise PermissionDenied("The form does not come from this console. Reload the page and send it again.")
            return page.show(
                Guest(
                    request,
                    self._services,
                    self._access,
                    read_zone(request),
                    read_theme(request),
                    form,
                    _session_secret(request, self._services.settings.api.public_url),
                )
            )

        return answer

    def _page(self, page: Page) -> Answer:
        def answer(request: Request, form: Form) -> Response:
            secret = _session_secret(request, self._services.settings.api.public_url)
            session = self._access.find(secret)
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
                _check_form(visit, secret, self._services.settings.api.public_url)
            visit.need(*((page.scope,) if isinstance(page.scope, str) else page.scope))
            shown = page.show(visit)
            if page.asks is not None:
                self._absences.answered(page.asks)
            return shown

        return answer

    def _visit(self, request: Request, form: Form, found: Reader, secret: str) -> Visit:
        return Visit(
            request=request,
            services=self._services,
            book=self._book,
            tables=self._tables,
            words=self._words,
            reader=found,
            zone=read_zone(request),
            theme=read_theme(request),
            token=form_token(secret),
            now=self._services.now(),
            form=form,
            letters=self._letters,
        )


async def _asset(request: Request) -> Response:
    return protect(await assets.serve(request))


def _session_secret(request: Request, public_url: str | None) -> str | None:
    # Over HTTPS the plain cookie does not count, because whoever sits on the network could have set it.
    return request.cookies.get(SECURE_COOKIE if is_encrypted(request, public_url) else PLAIN_COOKIE)


def _team(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_TEAM_DIGITS) or int(text) == 0:
        raise NotFound
    return int(text)


def _check_form(visit: Visit, secret: str, public_url: str | None) -> None:
    if not is_own_form(visit.request, public_url) or not is_form_token(visit.field("token"), secret):
        raise PermissionDenied("The form does not come from this session. Reload the page and send it again.")


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("x-gavel-fragment") == "1":
        return signed_out_fragment()
    path = request.url.path if request.method == "GET" else "/console/"
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    return RedirectResponse(f"/console/sign-in/?next={quote(path + query)}", 303)
