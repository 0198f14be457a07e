"""ASGI middleware that every request and response passes.

- a path serves with and without its trailing slash, without a redirect (which would lose a POST's body);
- a request that two servers could read differently is refused;
- an error that nobody foresaw becomes a 500 and one line in the log;
- security headers go on every response.

`bodies` reads the body.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import ApiError, Invalid

log = structlog.get_logger("gavel.api")

_SINGLE = frozenset(
    {
        b"host", b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"authorization",
        b"if-match",
    }
)  # fmt: skip
"""These headers may come once, because a proxy and this server could each believe another one of two."""
_HOST_CHARS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class SecurityHeaders:
    """Adds the headers that keep a response from being sniffed, framed, cached or run; a route's own win.

    Args:
        headers: those of the API if they are not given.
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str] = _SECURITY_HEADERS) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class TrailingSlash:
    """Routes end in a slash; a request that leaves it out means the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"].startswith("/api/") and not scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"] + "/", "raw_path": (scope.get("raw_path") or b"") + b"/"}
        await self._app(scope, receive, send)


class SoundRequest:
    """Refuses a request whose headers or address have two meanings. The connection ends with the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            problem = _ambiguity(scope)
            if problem is not None:
                await Invalid(problem, headers={"Connection": "close"}).response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _ambiguity(scope: Scope) -> str | None:
    times = Counter(name for name, _ in scope["headers"])
    repeated = sorted(name.decode() for name in _SINGLE if times[name] > 1)
    if repeated:
        return f"The header {repeated[0].title()} comes {times[repeated[0].encode()]} times; send it once."
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if b"content-length" in headers and b"transfer-encoding" in headers:
        return "The request has both Content-Length and Transfer-Encoding; send one of them."
    if not _is_host(headers.get(b"host", b"")):
        return "The header Host is not a host name with an optional port."
    if "\x00" in scope["path"] or "\x00" in unquote(scope["query_string"].decode("latin-1")):
        return "The address holds a NUL character."
    return None


def _is_host(host: bytes) -> bool:
    if not _HOST_CHARS.issuperset(host):
        return False
    try:
        # Links to other pages are made of it, and reading it back must not fail there.
        urlsplit(f"//{host.decode()}").port  # noqa: B018  # it is read for the error
    except ValueError:
        return False
    return True


class Unforeseen:
    """Answers 500 when a route fails in a way that nobody foresaw, and logs the place.

    The log holds the class and the place, and never the message, because the message may hold what the client sent.
    The server's own log of such an error would hold it, so the error ends here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer and the log a line
            last = traceback.extract_tb(error.__traceback__)[-1]
            log.error(
                "request_failed",
                method=scope.get("method"),
                route=getattr(scope.get("route"), "path", "unmatched"),
                error=type(error).__name__,
                where=f"{last.filename}:{last.lineno}",
            )
            if not started:
                await ApiError().response()(scope, receive, send)
