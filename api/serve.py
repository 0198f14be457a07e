"""The API as a running server: alone (`gavel api`), or beside the roles of one process (`gavel up`)."""

from __future__ import annotations

import threading
import time

import uvicorn

from api.app import create_app
from api.archive import Archive
from api.judging import JudgeAccess
from api.services import Services
from api.task_sender import TaskSender
from config.settings import Settings
from config.store.engine import Database

_START_WITHIN_S = 15.0
_DRAIN_WITHIN_S = 5


class ApiServer:
    """Serves the API in a thread of its own. Opens nothing but its port: the rest comes at the first request.

    Args:
        bootstrap_servers: the address of the in-process broker, where the settings say `embedded`.
    """

    name = "api"

    def __init__(self, settings: Settings, database: Database, bootstrap_servers: str | None = None) -> None:
        self._settings = settings
        self._services = Services(
            settings=settings,
            database=database,
            archive=Archive(settings.clickhouse.dsn.get_secret_value()),
            tasks=TaskSender(settings.kafka, bootstrap_servers=bootstrap_servers),
            judging=JudgeAccess(settings, database),
        )
        self._server = uvicorn.Server(_configuration(self._services))
        self._thread = threading.Thread(target=self._serve, name="api", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on, also where the settings let the system choose."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    def start(self) -> None:
        """Begin to serve. Returns when the port is open.

        Raises:
            OSError: it cannot be opened.
        """
        self._thread.start()
        give_up = time.monotonic() + _START_WITHIN_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                address = f"{self._settings.api.host}:{self._settings.api.port}"
                raise OSError(f"the API cannot listen on {address}; set api.port, or end what uses it")
            time.sleep(0.01)

    def ask_to_stop(self) -> None:
        """Let the server end soon; does not wait."""
        self._server.should_exit = True

    def stop(self) -> None:
        """Finish the requests in hand, a few seconds at the most, and close what was opened."""
        self.ask_to_stop()
        self._thread.join(_DRAIN_WITHIN_S + 5)
        self._services.tasks.close()
        self._services.archive.close()

    def wait(self) -> None:
        """Block until the server ends."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def _serve(self) -> None:
        try:
            self._server.run()
        except SystemExit:
            # uvicorn ends the process when it cannot bind; `start` sees that the thread is gone and says so.
            return


def build_service(settings: Settings, database: Database, bootstrap_servers: str | None) -> ApiServer:
    """Return the API for `gavel up` (entry point group `gavel.services`)."""
    return ApiServer(settings, database, bootstrap_servers)


def _configuration(services: Services) -> uvicorn.Config:
    settings = services.settings.api
    return uvicorn.Config(
        create_app(services),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_WITHIN_S,
        lifespan="off",
    )
