"""Runs the Faust application of the windows in a thread of its own, and starts it again after a failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog
import uvloop

from reports.service import ServiceState
from reports.windows.app import WindowsApp, WindowsParts
from reports.windows.kafka import quieten

_LOOK_S = 0.2
_STOP_WITHIN_S = 20.0
_BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
_GOOD_AFTER_S = 60.0
"""An application that ran for so long begins with the shortest backoff again."""


class FaustEnded(RuntimeError):
    """The application ended by itself; the cause, if it has one, is the error that ended it."""


class FaustWindows:
    """The windows, counted from Kafka.

    It takes no signals: the process that it runs in has roles of its own, which end by their own order. The next
    application reads again everything that a failed one did not commit.

    Args:
        parts: what each application is given.
        loaded: whether the definitions are known, without which no verdict can be read.
        monotonic: seconds.
    """

    name = "windows"

    def __init__(self, parts: WindowsParts, loaded: Callable[[], bool], monotonic: Callable[[], float]) -> None:
        self._parts = parts
        self._loaded = loaded
        self._monotonic = monotonic
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="windows", daemon=True)
        self._log = structlog.get_logger("gavel.windows")
        self._app: WindowsApp | None = None
        self._problem = ""

    def start(self) -> None:
        """Begin to count."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batches in work, commit, and leave the consumer group."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_WITHIN_S + 5)

    def state(self) -> ServiceState:
        """Return how it is. Safe from any thread."""
        app = self._app
        if not self._loaded():
            return ServiceState(False, "the definitions were never loaded")
        if app is None:
            return ServiceState(False, self._problem or "the live windows have not started yet")
        if not app.ready:
            return ServiceState(False, "the live windows wait for partitions, or read their changelog")
        return ServiceState(True, "")

    def _run(self) -> None:
        quieten()
        failures = 0
        while not self._stopping.is_set():
            if not self._loaded():
                self._stopping.wait(_LOOK_S)
                continue
            began_s = self._monotonic()
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(self._serve())
            except Exception as error:  # noqa: BLE001  # whatever ends the driver: the next application reads on
                failures = 0 if self._monotonic() - began_s > _GOOD_AFTER_S else failures
                wait_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
                failures += 1
                cause = error.__cause__ or error
                self._problem = f"the live windows failed and start again: {type(cause).__name__}: {cause}"
                self._log.warning("windows_failed", role="reports", error=self._problem, next_try_s=wait_s)
                self._parts.metrics.count("gavel_windows_restarts")
                self._stopping.wait(wait_s)

    async def _serve(self) -> None:
        """Run one application until it is to stop.

        Raises:
            FaustEnded: it ended by itself.
            Exception: it could not start.
        """
        app = WindowsApp(self._parts)
        starting = asyncio.ensure_future(app.faust.start())
        try:
            while not self._stopping.is_set():
                await asyncio.sleep(_LOOK_S)
                if starting.done():
                    starting.result()
                    self._app = app
                if app.faust.should_stop or app.faust.crash_reason is not None:
                    raise FaustEnded from app.faust.crash_reason
        finally:
            self._app = None
            starting.cancel()
            with suppress(asyncio.TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(app.faust.stop(), _STOP_WITHIN_S)
