"""Who calls: the personal API key of a request, its team, its scopes and its rate limit.

A key belongs to one team. The team in the path must be that team: any other looks as if it did not exist.
All of it is decided before routing and before a body is read, so no route can forget it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import ApiError, NotAuthenticated, NotFound, PermissionDenied, Throttled, store_unavailable
from api.http.known_keys import KnownKeys
from api.http.rate_limit import RateLimiter
from storage.sql.api_keys import ApiKey, ApiKeys
from storage.sql.engine import Database, StoreUnavailable

_SCHEME = HTTPBearer(auto_error=False, scheme_name="personalApiKey", description="`gavel keys create` makes a key.")
_OPEN = ("/api/schema/", "/api/docs/")
"""The document and the page that shows it need no key."""
_TEAM_PATH = re.compile(r"^/api/(?:environments|projects)/([^/]+)/")
CURRENT = "@current"
"""Stands in the place of a team's number for the team of the key."""
_MAX_TEAM_DIGITS = 18
_IPV6_CLIENT_BITS = 64


class Authenticate:
    """Finds the key of a request and puts it into `request.state.caller`.

    Errors: 401 without a good key, 429 over the rate of the key, or of failures of the address, 404 if the path names
    another team. Asks the store for a key once in a while (`KnownKeys`),
    in a thread.

    Args:
        limiter: of requests, by key.
        failures: of requests without a good key, by address. A good key is served however many others failed, because
            all clients behind one proxy have one address.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        limiter: RateLimiter,
        failures: RateLimiter,
        now: Callable[[], datetime],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._app = app
        self._known = KnownKeys(monotonic_s)
        self._keys = ApiKeys(database)
        self._limiter = limiter
        self._failures = failures
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if _needs_key(scope):
            try:
                scope.setdefault("state", {})["caller"] = await self._caller(scope)
            except NotAuthenticated as error:
                wait_s = self._failures.take(client_address(scope))
                answer = Throttled(wait_s) if wait_s else error
                await answer.response()(scope, receive, send)
                return
            except ApiError as error:
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> ApiKey:
        secret = _bearer(scope)
        key = self._known.get(secret, now=self._now())
        if key is None:
            key = await self._find(secret)
            self._known.keep(secret, key)
        if wait_s := self._limiter.take(str(key.id)):
            raise Throttled(wait_s)
        found = _TEAM_PATH.match(scope["path"])
        if found is not None and not is_team(found.group(1), key):
            raise NotFound
        return key

    async def _find(self, secret: str) -> ApiKey:
        try:
            key = await run_in_threadpool(self._keys.find, secret, now=self._now())
        except StoreUnavailable as error:
            raise store_unavailable(error) from error
        if key is None:
            raise NotAuthenticated("This API key is not valid.", code="authentication_failed")
        return key


def is_team(text: str, key: ApiKey) -> bool:
    """Return whether `text`, a part of a path, names the team of `key`."""
    return text == CURRENT or team_of(text) == key.team_id


def team_of(text: str) -> int | None:
    """Return the number of a team that a part of a path is, or None if it is not one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_TEAM_DIGITS else None


def _needs_key(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["path"].startswith("/api/")
        and not scope["path"].startswith(_OPEN)
        and not is_preflight(scope)
    )


def _bearer(scope: Scope) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    header = headers.get(b"authorization", b"").decode("latin-1")
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise NotAuthenticated
    return secret.strip()


def client_address(scope: Scope) -> str:
    """Return what failures are counted by: the client's address, or the network of one customer in IPv6."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    bits = _IPV6_CLIENT_BITS if address.version == 6 else address.max_prefixlen
    return str(ipaddress.ip_network((address, bits), strict=False))


def is_preflight(scope: Scope) -> bool:
    """Return whether a browser asks what another origin may do. It sends no credentials with it."""
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in dict(scope["headers"])


async def _any_key(request: Request, _documented: Annotated[object, Depends(_SCHEME)]) -> ApiKey:
    key: ApiKey = request.state.caller
    return key


AnyKeyParam = Annotated[ApiKey, Security(_any_key)]
"""The caller's key, whatever its scopes."""


def Scoped(scope: str) -> Any:  # noqa: N802  # reads like FastAPI's own Depends, Query, Path
    """Mark a route parameter that takes the caller's key. `PermissionDenied` if the key lacks `scope`."""

    async def caller(request: Request, _documented: Annotated[object, Depends(_SCHEME)]) -> ApiKey:
        key: ApiKey = request.state.caller
        if not key.allows(scope):
            raise PermissionDenied(f"API key missing required scope '{scope}'")
        return key

    return Security(caller, scopes=[scope])
