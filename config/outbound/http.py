"""HTTP connections that reach only the addresses that were checked.

The name is resolved once, when a connection is opened; every address is checked, and the connection goes to one of
them. The request keeps the name for `Host` and TLS, so a certificate is verified against it. Proxies of the environment
are not used, because a proxy resolves the name again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial

import anyio.to_thread
import httpcore2
import httpx2

from config.outbound.addresses import Resolver, UnknownHost, checked_addresses, resolve_host

_MAX_LOOKUPS = 64
"""Names that one transport resolves at a time; a slow name server holds up no more threads than that."""


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections for the connection pool. Raises `ForbiddenAddress` for a host that may not be called."""

    def __init__(self, *, allowed: Sequence[str], setting: str, resolve: Resolver) -> None:
        self._inner = httpcore2.AnyIOBackend()
        self._check = partial(checked_addresses, allowed=tuple(allowed), setting=setting, resolve=resolve)
        self._lookups = anyio.CapacityLimiter(_MAX_LOOKUPS)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # the signature of the base class
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to one of the checked addresses of `host`, one after the other, within `timeout` seconds."""
        give_up = None if timeout is None else time.monotonic() + timeout
        with anyio.move_on_after(timeout):
            try:
                addresses = await anyio.to_thread.run_sync(
                    self._check, host, port, abandon_on_cancel=True, limiter=self._lookups
                )
            except UnknownHost as error:
                raise httpcore2.ConnectError(str(error)) from error
            for place, address in enumerate(addresses, 1):
                left = (
                    None if give_up is None else max(0.001, give_up - time.monotonic()) / (len(addresses) + 1 - place)
                )
                try:
                    return await self._inner.connect_tcp(address, port, left, local_address, socket_options)
                except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                    if place == len(addresses):
                        raise
        raise httpcore2.ConnectTimeout

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # the signature of the base class
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: a socket file is not an address that a team may name."""
        raise httpcore2.ConnectError("socket files are not called")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)


class _CheckedTransport(httpx2.AsyncHTTPTransport):
    def __init__(self, backend: _CheckedBackend, limits: httpx2.Limits) -> None:
        super().__init__(trust_env=False, limits=limits)
        # The base class makes its pool without a way to give it another backend.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=backend,
        )


def checked_transport(
    *,
    allowed: Sequence[str],
    setting: str,
    limits: httpx2.Limits | None = None,
    resolve: Resolver = resolve_host,
) -> httpx2.AsyncHTTPTransport:
    """Return a transport that connects only to addresses that may be called; it belongs to one event loop.

    A request to another host raises `ForbiddenAddress`, and one to a name that does not resolve `httpx2.ConnectError`.
    See `addresses.check_url` for `allowed`, `setting` and `resolve`.
    """
    backend = _CheckedBackend(allowed=allowed, setting=setting, resolve=resolve)
    return _CheckedTransport(backend, limits or httpx2.Limits(max_connections=100, max_keepalive_connections=20))


def checked_client(
    *, allowed: Sequence[str], setting: str, timeout_s: float, resolve: Resolver = resolve_host
) -> httpx2.AsyncClient:
    """Return a client for addresses that teams write, such as webhooks. It follows no redirect.

    A redirect could lead from an address that was checked to one that answers to nobody else.
    """
    transport = checked_transport(allowed=allowed, setting=setting, resolve=resolve)
    return httpx2.AsyncClient(transport=transport, timeout=timeout_s, follow_redirects=False, trust_env=False)
