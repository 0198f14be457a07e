"""The front door as a running server: alone (`gavel ingest`), or beside the roles of one process (`gavel up`)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import structlog

from config.settings import Settings
from ingest.app import IngestApp
from ingest.connection import ServerThread
from ingest.delivery import Delivery, producer_options
from ingest.door import Door, OutsideProbe
from ingest.embedded import EventRoom
from ingest.memory import map_large_blocks
from ingest.metrics import IngestMetrics
from ingest.tokens import TokenPoller
from storage.sql.engine import Database
from storage.sql.heartbeats import RoleState
from storage.sql.project_tokens import ProjectTokens

_FINISH_WITHIN_S = 9
"""A request in hand is answered within eight seconds of its last byte."""


class IngestServer:
    """Serves the front door in a thread of its own.

    Args:
        bootstrap_servers: the address of the in-process broker, where the settings say `embedded`.
        room: says when that broker can take more.
        listener: a bound socket to serve on, instead of the address of the settings.
        probes: answers `/livez`, `/readyz` and `/metrics` in place of this process, for all that share the port.

    `on_fatal` may be set to a function that is called when the producer can never deliver again.
    """

    name = "ingest"

    def __init__(
        self,
        settings: Settings,
        database: Database,
        metrics: IngestMetrics,
        bootstrap_servers: str | None = None,
        room: EventRoom | None = None,
        listener: socket.socket | None = None,
        probes: OutsideProbe | None = None,
    ) -> None:
        self._settings = settings
        self._tokens = TokenPoller(ProjectTokens(database).active, settings.store.poll_interval_s)
        self._fatal: str | None = None
        self.on_fatal: Callable[[], object] = lambda: None
        self._delivery = Delivery(
            producer_options(settings, bootstrap_servers),
            probe_topic=settings.kafka.topics.events,
            metrics=metrics,
            on_fatal=self._fail,
            room=room,
        )
        self.door = Door(settings, self._tokens, self._delivery, metrics, probes=probes)
        self.app = IngestApp(self.door)
        self._server = ServerThread(
            self.app,
            "ingest",
            (settings.ingest.host, settings.ingest.port),
            finish_within_s=_FINISH_WITHIN_S,
            listener=listener,
            proxy_headers=False,
            loop="uvloop",
        )
        self._log = structlog.get_logger("gavel.ingest")

    @property
    def port(self) -> int:
        """The port that is listened on, also where the settings let the system choose."""
        return self._server.port

    @property
    def failure(self) -> str | None:
        """Why the producer can never deliver again; None while it can."""
        return self._fatal

    def await_tokens(self, limit_s: float) -> bool:
        """Return whether the tokens are loaded, as soon as they are or after `limit_s`. Until then requests get 503."""
        end = time.monotonic() + limit_s
        while not self._tokens.ready and time.monotonic() < end:
            time.sleep(0.02)
        return self._tokens.ready

    def start(self) -> None:
        """Begin to serve. Returns when the port is open.

        Raises:
            OSError: it cannot be opened.
        """
        map_large_blocks()
        self._tokens.start()
        self._delivery.start()
        self._server.start()

    def stop(self) -> None:
        """Finish the requests in progress, wait for their acknowledgements, and close every connection."""
        self.door.stopping = True
        self._server.ask_to_stop()
        self._server.join(_FINISH_WITHIN_S + 2)
        left = self._delivery.close(1.0)
        self._tokens.stop()
        self._log.info("ingest_stopped", unanswered=left)

    def drain(self) -> None:
        """Tell balancers that this process ends, and go on serving for `ingest.drain_s`. `stop` is to follow."""
        self.door.stopping = True
        give_up = time.monotonic() + self._settings.ingest.drain_s
        while self.running() and time.monotonic() < give_up:
            time.sleep(0.05)

    def condition(self) -> tuple[RoleState, str, dict[str, Any]]:
        """Return how the front door is, for its heartbeat: state, reason and details."""
        details: dict[str, Any] = {
            "empty_generations": self.door.empty.shares(),
            "reserved_bytes": self.door.budget.reserved,
        }
        if not self._tokens.ready:
            return "waiting", "the project tokens were never loaded; does the store answer?", details
        if self._delivery.failing:
            return "blocked", "Kafka acknowledges nothing; clients get 503 and send again", details
        return "running", "", details

    def running(self) -> bool:
        """Whether the server still serves and can deliver."""
        return self._server.alive() and self._fatal is None

    def _fail(self, reason: str) -> None:
        self._fatal = reason
        self.on_fatal()
