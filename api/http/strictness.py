"""Whether a request asks to be refused for fields that are not known: `?strict=1`.

Without it such fields are ignored, as PostHog ignores them, so that its clients and exports work unchanged.
"""

from __future__ import annotations

from contextvars import ContextVar
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

_strict: ContextVar[bool] = ContextVar("strict", default=False)


def is_strict() -> bool:
    """Return whether the request in progress asks for strictness."""
    return _strict.get()


class Strictness:
    """Reads the parameter `strict` before a body is validated."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            given = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            _strict.set(given.get("strict", "").lower() in ("1", "true"))
        await self._app(scope, receive, send)
