"""The front door as an ASGI application: routes, CORS, the wording of errors, and the count of every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog

from ingest.answers import Answer, Refusal, unauthorized
from ingest.body import ClientGone, Receive
from ingest.budget import Reservation
from ingest.connection import COMPLETE
from ingest.door import Door, Request
from ingest.otlp import answers as otlp
from ingest.routes import Protocol, Route, find_route

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_MAX_QUERY_FIELDS = 50


class IngestApp:
    """The application. Every request is answered, counted, and gives back the bytes that it reserved."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._log = structlog.get_logger("gavel.ingest")

    def serves(self, path: str) -> bool:
        """Return whether a server for several applications should give a request to this one: probes are its own."""
        route = find_route(path)
        return route is not None and route.protocol != "probe"

    def count_refused(self, status: int) -> None:
        """Count a request that no route has seen, because it is not HTTP or its head is too large."""
        self._door.metrics.count("gavel_ingest_requests", protocol="none", status=str(status))

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        headers = _headers(scope["headers"])
        route = find_route(scope["path"])
        protocol: Protocol = "none" if route is None else route.protocol
        reservation = self._door.budget.open()
        try:
            answer = await self._answer(scope, headers, route, reservation, receive)
        except ClientGone:
            self._door.metrics.count("gavel_ingest_requests", protocol=protocol, status="gone")
            return
        finally:
            reservation.release()
        if protocol != "probe":
            self._door.metrics.count("gavel_ingest_requests", protocol=protocol, status=str(answer.status))
        await _send(answer, headers, send)

    async def _answer(
        self,
        scope: Mapping[str, Any],
        headers: Mapping[str, str],
        route: Route | None,
        reservation: Reservation,
        receive: Receive,
    ) -> Answer:
        method: str = scope["method"]
        try:
            if method == "OPTIONS":
                return Answer(204)
            if route is None:
                raise Refusal(404, "not_found", "The front door does not serve this path.", close=True)
            if method not in route.methods:
                raise Refusal(405, "method_not_allowed", f"Use {' or '.join(route.methods)}.", close=True)
            query = _query(scope["query_string"])
            complete = COMPLETE in scope.get("state", ())
            request = Request(method, scope["path"], query, headers, reservation, complete)
            return await route.handler(self._door, request, receive)
        except Refusal as refusal:
            return word(refusal, "none" if route is None else route.protocol, headers)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001  # a defect of ours: one request's 500, not the end of the door
            # The class only: the message may hold what the client sent.
            self._log.error("request_failed", path=scope["path"][:100], error=type(error).__name__)
            failure = Refusal(500, "error", "The front door failed. Send this again later.", close=True)
            return word(failure, "none" if route is None else route.protocol, headers)


def word(refusal: Refusal, protocol: Protocol, headers: Mapping[str, str]) -> Answer:
    """Return a refusal as its protocol words it."""
    extra: list[tuple[bytes, bytes]] = []
    if refusal.retry_after_s is not None:
        extra.append((b"retry-after", b"%d" % refusal.retry_after_s))
    if refusal.close:
        extra.append((b"connection", b"close"))
    if refusal.status == 401:
        extra.append((b"www-authenticate", b"Bearer"))
    if protocol == "otlp":
        return otlp.refusal(refusal, headers, tuple(extra))
    if protocol == "v1":
        body = {"error": refusal.code, "error_description": refusal.detail, "error_uri": None}
    else:
        body = {"type": refusal.type, "code": refusal.code, "detail": refusal.detail, "attr": refusal.attr}
    return Answer(refusal.status, msgspec.json.encode(body), headers=tuple(extra))


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name in lower case, as the server gives them. Values of one name are joined (RFC 9110, 5.2)."""
    headers = {str(name, "latin-1"): str(value, "latin-1") for name, value in raw}
    if len(headers) == len(raw):
        return headers
    joined: dict[str, str] = {}
    for name, value in raw:
        key, text = str(name, "latin-1"), str(value, "latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def _query(text: bytes) -> dict[str, str]:
    if not text:
        return {}
    try:
        pairs = parse_qsl(str(text, "latin-1"), max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError as error:
        raise Refusal(400, "invalid_query", "The query string has too many fields.", close=True) from error
    query = dict(pairs)
    if any(name == "token" and value != query["token"] for name, value in pairs):
        raise unauthorized("The query string names several project tokens.")
    return query


async def _send(answer: Answer, headers: Mapping[str, str], send: Send) -> None:
    out = [(b"content-type", answer.media_type), (b"content-length", b"%d" % len(answer.body)), *answer.headers]
    origin = headers.get("origin")
    if origin is not None:
        out += _cors(origin, headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": out})
    await send({"type": "http.response.body", "body": answer.body})


def _cors(origin: str, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the headers that let a page of any origin send: a project token is made to be seen in a browser."""
    requested = headers.get("access-control-request-headers", "")
    found = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-max-age", b"86400"),
        (b"vary", b"Origin"),
    ]
    if requested:
        found.append((b"access-control-allow-headers", requested.encode("latin-1")))
    return found
