"""One process of Gavel: its roles on a thread each, the definitions they share, and what is seen from outside."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import structlog

from config.settings import Settings
from config.snapshot import SnapshotPoller
from config.store.changes import read_changes
from config.store.engine import Database
from processor.backfill import BackfillRunner
from processor.garbage import tune_collector
from processor.health import HealthServer
from processor.kafka import EmbeddedBroker, KafkaClients, ensure_topics
from processor.metrics import Metrics
from processor.role_context import RoleContext
from processor.roles import BUILDERS
from processor.stage import Stage
from processor.watchdog import Watchdog

EXIT_OK, EXIT_FAILED = 0, 1
_LIVE_WITHIN_S = 60.0


class Service(Protocol):
    """Something that `gavel up` runs beside the roles, such as the API (entry point group `gavel.services`)."""

    name: str

    def start(self) -> None:
        """Begin to serve; must not block."""

    def stop(self) -> None:
        """End; returns when nothing is served any more."""


class Runtime:
    """Starts roles, waits, and stops them in order.

    Args:
        roles: names out of `processor.roles.BUILDERS`.
        database: the store that definitions are polled from.
        embedded: the in-process broker, where the settings ask for one.
        services: run beside the roles, started after and stopped before them.
    """

    def __init__(
        self,
        settings: Settings,
        roles: Sequence[str],
        database: Database,
        metrics: Metrics,
        *,
        embedded: EmbeddedBroker | None = None,
        services: Sequence[Service] = (),
    ) -> None:
        self._settings = settings
        self._roles = tuple(roles)
        self._snapshots = SnapshotPoller(partial(read_changes, database), settings.store.poll_interval_s)
        self._metrics = metrics
        self._embedded = embedded
        self._services = list(services)
        self._started: list[Service] = []
        self.clients = KafkaClients(settings, embedded)
        if "matcher" in self._roles:
            self._services.append(BackfillRunner(settings, database, self.clients))
        self._context = RoleContext(settings, self.clients, database, self._snapshots, metrics)
        self._stages: dict[str, Stage] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._errors: dict[str, BaseException] = {}
        self._stop = threading.Event()
        self._log = structlog.get_logger("gavel.runtime")
        self._watchdog: Watchdog | None = None
        self._snapshot_failures = 0
        self.health: HealthServer | None = None

    def start(self) -> None:
        """Start everything; returns once the roles' threads run.

        Raises:
            Exception: a role could not be built; what was started is stopped again.
        """
        (Path(self._settings.data_dir)).mkdir(parents=True, exist_ok=True)
        tune_collector()
        http = self._settings.http
        self.health = HealthServer(
            http.host, http.port, live=self._live, ready=self._ready, registry=self._metrics.registry
        )
        self.health.start()
        try:
            if self._embedded is not None:
                ensure_topics(self.clients, self._settings, self._embedded)
            self._snapshots.start()
            for role in self._roles:
                self._stages[role] = BUILDERS[role](self._context)
            self._watchdog = Watchdog(
                list(self._stages.values()), limit_s=self._settings.watchdog.stall_s, metrics=self._metrics
            )
            self._watchdog.start()
            for role, stage in self._stages.items():
                thread = threading.Thread(target=self._run_stage, args=(role, stage), name=role)
                self._threads[role] = thread
                thread.start()
            for service in self._services:
                service.start()
                self._started.append(service)
        except BaseException:
            self.stop()
            raise
        self._log.info("started", roles=list(self._roles), metrics=f"http://{http.host}:{self.health.port}/metrics")

    def _run_stage(self, role: str, stage: Stage) -> None:
        try:
            stage.run()
        except BaseException as error:  # noqa: BLE001  # kept for the exit code; the process ends
            self._errors[role] = error
            self._log.critical("role_failed", role=role, error=str(error), exc_info=error)
        finally:
            self._stop.set()

    def request_stop(self, *_signal: Any) -> None:
        """Ask for the end; safe from signal handlers and any thread."""
        self._stop.set()

    def install_signal_handlers(self) -> None:
        """Let SIGTERM and SIGINT drain the roles; a second SIGINT ends at once."""

        def on_signal(number: int, _frame: Any) -> None:
            self._stop.set()
            signal.signal(number, signal.SIG_DFL)

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)

    def wait(self) -> None:
        """Block until a stop is asked for or a role has ended."""
        while not self._stop.wait(0.2):
            self._export_snapshot()

    def stop(self) -> int:
        """Drain the roles and release everything.

        Returns:
            The exit code: 0 if every role ended in order.
        """
        for service in reversed(self._started):
            service.stop()
        for stage in self._stages.values():
            stage.stop()
        deadline = monotonic() + self._settings.watchdog.shutdown_s + 30.0
        for thread in self._threads.values():
            thread.join(max(0.1, deadline - monotonic()))
        alive = [role for role, thread in self._threads.items() if thread.is_alive()]
        if self._watchdog is not None:
            self._watchdog.stop()
        self._snapshots.stop()
        if self.health is not None:
            self.health.stop()
        self._context.close()
        self.clients.close()
        failed = sorted({*self._errors, *alive})
        self._log.info("stopped", failed=failed)
        return EXIT_FAILED if failed else EXIT_OK

    def records_in_flight(self) -> int:
        """Records that any role has taken up and not committed."""
        return sum(stage.records_in_flight for stage in self._stages.values())

    def errors(self) -> dict[str, BaseException]:
        """What ended each role that failed."""
        return dict(self._errors)

    # -- seen from outside ----------------------------------------------------------------------------

    def _export_snapshot(self) -> None:
        failures = self._snapshots.failures
        self._metrics.count("gavel_snapshot_failures", failures - self._snapshot_failures)
        self._snapshot_failures = failures
        snapshot = self._snapshots.current
        if snapshot is not None:
            self._metrics.set("gavel_snapshot_broken", len(snapshot.broken))
            self._metrics.set("gavel_snapshot_revision", snapshot.revision)
            self._metrics.set("gavel_snapshot_age_seconds", self._snapshots.age_s)
            self._metrics.set("gavel_snapshot_evaluations", sum(team.enabled for team in snapshot.teams.values()))

    def _live(self) -> tuple[bool, dict[str, Any]]:
        now = monotonic()
        turns = {role: round(now - stage.heartbeat_s, 1) for role, stage in self._stages.items()}
        # A commit may take as long as its timeout; the watchdog ends what really hangs.
        limit = max(_LIVE_WITHIN_S, self._settings.kafka.transaction_timeout_s * 2)
        return all(turn < limit for turn in turns.values()), {"seconds_since_turn": turns}

    def _ready(self) -> tuple[bool, dict[str, Any]]:
        roles = {role: stage.subscribed for role, stage in self._stages.items()}
        snapshot = self._snapshots.current
        details: dict[str, Any] = {"roles": roles, "revision": None if snapshot is None else snapshot.revision}
        if snapshot is None:
            details["waiting_for"] = "the first load of the evaluation definitions from the store"
        return bool(roles) and all(roles.values()) and snapshot is not None, details
