"""Counts and times every request by its route, never by its path: a client could invent any number of paths."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, Literal, Protocol

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNMATCHED = "unmatched"
_STATUSES = ("2xx", "3xx", "4xx", "5xx")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_OTHER_METHOD = "other"
_FOUND = "gavel.route"


class HttpMetrics(Protocol):
    """Where requests are counted; `processor.metrics.Metrics` is one."""

    def count(
        self, name: Literal["gavel_http_requests", "gavel_console_queries_refused"], amount: float = 1, **labels: str
    ) -> None:
        """Add to a counter."""

    def observe(
        self, name: Literal["gavel_http_request_seconds", "gavel_console_seconds"], seconds: float, **labels: str
    ) -> None:
        """Add one observation to a histogram."""


class NoMetrics:
    """Counts nothing, for applications that nobody scrapes."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Do nothing."""

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Do nothing."""


class NoteRoute:
    """The innermost middleware: tells `Measured`, the outermost one, which route served a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            await self._app(scope, receive, send)
        finally:
            found: dict[str, Any] | None = scope.get(_FOUND)
            if found is not None:
                found["route"] = scope.get("route")


class Measured:
    """Counts requests and their seconds.

    Args:
        routes: of the application; their answers and errors are exported as 0 from the start.
    """

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._metrics = metrics
        self._labels: dict[int, str] = {}
        """By the identity of a route, which by itself knows only the part of its path below its router."""
        known: set[tuple[str, str]] = set()
        for each in iter_route_contexts(routes):
            label = self._labels[id(each.original_route)] = _label(each.path)
            known |= {(label, method) for method in each.methods or () if method in _METHODS}
        for label, method in known:
            for status in ("2xx", "4xx", "5xx"):
                self._count(label, method, status, 0)
        for method in (*_METHODS, _OTHER_METHOD):
            self._count(UNMATCHED, method, "4xx", 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found: dict[str, Any] = {}
        status = 500
        started_s = monotonic()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app({**scope, _FOUND: found}, receive, send_and_note)
        finally:
            label = self._labels.get(id(found.get("route")), UNMATCHED)
            method = scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD
            self._count(label, method, _class_of(status), 1)
            seconds = monotonic() - started_s
            self._metrics.observe("gavel_http_request_seconds", seconds, service=_service(label))
            if _service(label) == "console":
                self._metrics.observe("gavel_console_seconds", seconds, page=label)

    def _count(self, label: str, method: str, status: str, amount: int) -> None:
        service = _service(label)
        self._metrics.count("gavel_http_requests", amount, service=service, route=label, method=method, status=status)


def count_refused(metrics: HttpMetrics, status: int) -> None:
    """Count a request that reached no application, because it is not HTTP or its head is too large."""
    service, found = _service(UNMATCHED), _class_of(status)
    metrics.count("gavel_http_requests", service=service, route=UNMATCHED, method=_OTHER_METHOD, status=found)


def _class_of(status: int) -> str:
    return _STATUSES[min(max(status // 100 - 2, 0), 3)]


def _label(path: str | None) -> str:
    """Return a route's path with its parameters' names. The two bases of the API are the same thing."""
    return (path or UNMATCHED).replace("/api/environments/", "/api/projects/", 1)


def _service(label: str) -> str:
    return "console" if label.startswith("/console") else "api"
