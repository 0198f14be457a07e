"""Who calls: the personal API key of a request, its team, its scopes and its rate limit.

A key belongs to one team. The team in the path must be that team: any other looks as if it did not exist.
All of it is decided before routing and before a body is read, so no route can forget it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError, NotAuthenticated, NotFound, PermissionDenied, Throttled, store_unavailable
from api.rate_limit import RateLimiter
from config.store.api_keys import ApiKey, ApiKeys
from config.store.engine import Database, StoreUnavailable

_SCHEME = HTTPBearer(auto_error=False, scheme_name="personalApiKey", description="`gavel keys create` makes a key.")
_TEAM_PATH = re.compile(r"^/api/(?:environments|projects)/([^/]*)/")


class Authenticate:
    """Finds the key of a request to a team's objects and puts it into `request.state.caller`.

    Errors: 401 without a good key, 429 over its rate, 404 if the path names another team.
    Blocks: one short query of the store, in a thread.
    """

    def __init__(self, app: ASGIApp, *, database: Database, limiter: RateLimiter, now: Callable[[], datetime]) -> None:
        self._app = app
        self._keys = ApiKeys(database)
        self._limiter = limiter
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = _TEAM_PATH.match(scope["path"]) if scope["type"] == "http" else None
        if found is not None and not _is_preflight(scope):
            try:
                scope.setdefault("state", {})["caller"] = await self._caller(scope, found.group(1))
            except ApiError as error:
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope, team: str) -> ApiKey:
        secret = _bearer(scope)
        try:
            key = await run_in_threadpool(self._keys.find, secret, now=self._now())
        except StoreUnavailable as error:
            raise store_unavailable(error) from error
        if key is None:
            raise NotAuthenticated("This API key is not valid.", code="authentication_failed")
        if wait_s := self._limiter.take(str(key.id)):
            raise Throttled(wait_s)
        if not team.isascii() or not team.isdigit() or int(team) != key.team_id:
            raise NotFound
        return key


def _bearer(scope: Scope) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    header = headers.get(b"authorization", b"").decode("latin-1")
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise NotAuthenticated
    return secret.strip()


def _is_preflight(scope: Scope) -> bool:
    # A browser sends no credentials with it, and the CORS middleware answers it.
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in dict(scope["headers"])


def Scoped(scope: str) -> Any:  # noqa: N802  # reads like FastAPI's own Depends, Query, Path
    """Mark a route parameter that takes the caller's key. `PermissionDenied` if the key lacks `scope`."""

    def caller(request: Request, _documented: Annotated[object, Depends(_SCHEME)]) -> ApiKey:
        key: ApiKey = request.state.caller
        if not key.allows(scope):
            raise PermissionDenied(f"API key missing required scope '{scope}'")
        return key

    return Security(caller, scopes=[scope])
