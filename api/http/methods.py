"""The methods HEAD and OPTIONS, which every path that has GET answers."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.auth import is_preflight
from api.http.errors import NotFound

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class HeadAndOptions:
    """Answers HEAD as GET without a body, and OPTIONS with the methods that a path has.

    Args:
        routes: of the application.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, _without_body(send))
        elif scope["type"] == "http" and scope["method"] == "OPTIONS" and not is_preflight(scope):
            await self._options(scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _options(self, scope: Scope) -> JSONResponse:
        found = [method for method in _METHODS if self._serves(method, scope)]
        if not found:
            return NotFound().response()
        if "GET" in found:
            found.append("HEAD")
        types = ["application/json"]
        body = {"name": scope["path"].rstrip("/").rpartition("/")[2], "renders": types, "parses": types}
        return JSONResponse(body, headers={"Allow": ", ".join([*found, "OPTIONS"])})

    def _serves(self, method: str, scope: Scope) -> bool:
        asked = {**scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in self._routes)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
