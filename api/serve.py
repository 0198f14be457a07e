"""The API as a running server: alone (`gavel api`), or beside the roles of one process (`gavel up`)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import create_app
from api.http.measures import HttpMetrics, NoMetrics, count_refused
from api.http.precedence import Precedence
from api.services.resources import Services, open_services
from config.settings import Settings
from ingest.connection import ServerThread
from storage.sql.engine import Database, StoreError

_DRAIN_WITHIN_S = 9
"""The front door on this port answers within eight seconds of a request's last byte."""


class FrontDoor(Protocol):
    """An application that serves some paths beside the API's own, such as the front door for events and the console."""

    def serves(self, path: str) -> bool:
        """Return whether a request for `path` is for it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""


class ApiServer:
    """Serves the API in a thread of its own. Opens nothing but its port: the rest comes at the first request.

    Args:
        bootstrap_servers: the address of the in-process broker, where the settings say `embedded`.
        front_door: serves its paths on this port too, because PostHog SDKs know one host for everything.
        console: makes the web pages over the services of the API, or None if they are not served.
        metrics: count the requests.
        listener: a bound socket to serve on, instead of the address of the settings.
    """

    name = "api"

    def __init__(
        self,
        settings: Settings,
        database: Database,
        bootstrap_servers: str | None = None,
        front_door: FrontDoor | None = None,
        console: Callable[[Services], FrontDoor] | None = None,
        metrics: HttpMetrics | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.services = open_services(settings, database, bootstrap_servers=bootstrap_servers)
        doors = [front_door] if front_door is not None else []
        doors += [console(self.services)] if console is not None else []
        port = _Port(
            create_app(self.services, metrics=metrics), doors, metrics or NoMetrics(), self.services.precedence
        )
        self._server = ServerThread(
            port, "api", (settings.api.host, settings.api.port), finish_within_s=_DRAIN_WITHIN_S, listener=listener
        )

    @property
    def port(self) -> int:
        """The port that is listened on, also where the settings let the system choose."""
        return self._server.port

    def start(self) -> None:
        """Begin to serve. Returns when the port is open.

        Raises:
            OSError: it cannot be opened.
        """
        self._server.start()

    def live(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the server runs, for `/livez`."""
        return self._server.alive(), {}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether requests can be served, with the reason if not, for `/readyz`. Blocks on the store."""
        if self._server.stopping or not self._server.alive():
            return False, {"reason": "the server is stopping"}
        try:
            with self.services.database.read() as connection:
                connection.exec_driver_sql("SELECT 1")
        except StoreError as error:
            return False, {"reason": str(error)}
        return True, {}

    def ask_to_stop(self) -> None:
        """Let the server end soon; does not wait."""
        self._server.ask_to_stop()

    def stop(self) -> None:
        """Finish the requests in progress within a few seconds, and close all connections."""
        self.ask_to_stop()
        self._server.join(_DRAIN_WITHIN_S + 5)
        self.services.close()

    def wait(self) -> None:
        """Block until the server ends."""
        while self._server.alive():
            self._server.join(0.5)


class _Port:
    """All applications of the port: each path goes to the first door that serves it, or to the API."""

    def __init__(self, api: ASGIApp, doors: Sequence[FrontDoor], metrics: HttpMetrics, precedence: Precedence) -> None:
        self._api = api
        self._precedence = precedence
        self._doors = doors
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = next((door for door in self._doors if scope["type"] == "http" and door.serves(scope["path"])), None)
        if found is not None:
            await found(scope, receive, send)
            return
        with self._precedence.request():
            await self._api(scope, receive, send)

    def count_refused(self, status: int) -> None:
        """Count a request that no route has seen, because it is not HTTP or its head is too large."""
        count_refused(self._metrics, status)
