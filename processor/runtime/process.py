"""One process of Gavel: a thread for each role, the definitions that they share, and the probes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import Any, Protocol

import structlog

from config.settings import Settings
from processor.exit_codes import EXIT_FAILED, EXIT_OK
from processor.kafka import EmbeddedBroker, KafkaClients
from processor.kafka_topics import ensure_topics
from processor.labels.outbox import LabelSender
from processor.measurements.anchors import AnchorKeeper
from processor.measurements.runner import MeasurementRunner
from processor.metrics import Metrics
from processor.replay.backfill import BackfillRunner
from processor.role_context import RoleContext
from processor.runtime.births import give_birth, models_born, note_disk, store_observer
from processor.runtime.garbage import tune_collector
from processor.runtime.health import HealthServer
from processor.runtime.logs import RecentProblems
from processor.runtime.roles import BUILDERS
from processor.runtime.traces import started_traces
from processor.runtime.vitals import (
    SERVICE_ROLES,
    SINK_BLOCKED,
    Condition,
    kafka_away,
    running,
    service_vitals,
    stage_vitals,
)
from processor.runtime.watchdog import Watchdog
from processor.stream.limits import GroupProtocolUnsupported
from processor.stream.stage import Stage
from storage.background import Background
from storage.heartbeat import HeartbeatWriter, Probe
from storage.snapshot import SnapshotPoller
from storage.sql.changes import read_changes
from storage.sql.engine import Database
from storage.sql.heartbeats import Vitals

_LIVE_WITHIN_S = 60.0
_LEAVE_S = 30.0
"""Seconds beyond `watchdog.shutdown_s` in which a role gives its clients back. One that takes longer hangs."""
_SCRAPED_WITHIN_S = 20.0
"""How long a process that stands still waits for Prometheus to read its last count before it ends itself."""


class Service(Protocol):
    """Something that `gavel up` runs beside the roles, such as the API."""

    name: str

    def start(self) -> None:
        """Begin to serve; must not block."""

    def stop(self) -> None:
        """End; returns when nothing is served any more."""


class RoleService(Service, Protocol):
    """A role that is not a stage, such as the reports."""

    def state(self) -> tuple[bool, str]:
        """Return whether it does its work, and why not. Safe from any thread."""


ServiceBuilder = Callable[[RoleContext], RoleService]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """The parts of a process that one command gives and the others leave out.

    Attributes:
        embedded: the in-process broker, where the settings ask for one.
        services: run beside the roles, started after and stopped before them.
        beside: what builds the roles that are not stages, by name.
        problems: the newest log lines that heartbeats show.
        worker: number of this process among the workers of a supervisor.
        probes_at: the Unix socket on which a worker answers its supervisor, instead of `http.port`.
    """

    embedded: EmbeddedBroker | None = None
    services: Sequence[Service] = ()
    beside: Mapping[str, ServiceBuilder] = field(default_factory=dict)
    problems: RecentProblems = field(default_factory=RecentProblems)
    worker: int = 0
    probes_at: Path | None = None


class Runtime:
    """Starts roles, waits, and stops them in order.

    Args:
        roles: names out of `processor.runtime.roles.BUILDERS` or of `options.beside`.
        database: the store that definitions are polled from.
    """

    signalled: int | None = None
    """The signal that asked for the end, if one did."""
    _stopping = False

    def __init__(
        self,
        settings: Settings,
        roles: Sequence[str],
        database: Database,
        metrics: Metrics,
        options: RuntimeOptions | None = None,
    ) -> None:
        options = options or RuntimeOptions()
        self._settings = settings
        self._probes_at = options.probes_at
        self._roles = tuple(role for role in roles if role in BUILDERS)
        self._beside = {role: options.beside[role] for role in roles if role not in BUILDERS}
        self._role_services: dict[str, RoleService] = {}
        self._snapshots = SnapshotPoller(partial(read_changes, database), settings.store.poll_interval_s)
        self._metrics = metrics
        give_birth(metrics, settings, roles)
        database.observe = store_observer(metrics)
        self._revision_seen: int | None = None
        self._embedded = options.embedded
        self._services = list(options.services)
        self._started: list[Service] = []
        self.clients = KafkaClients(settings, self._embedded, metrics=metrics, number=options.worker)
        self._background: list[Background] = [self._snapshots]
        if "matcher" in self._roles:
            beside = (
                BackfillRunner(settings, database, self.clients),
                LabelSender(settings, database, self.clients, metrics),
                MeasurementRunner(settings, database, self.clients, metrics),
                AnchorKeeper(settings, database, self.clients, metrics),
            )
            self._services += beside
            self._background += beside
        self._traces = started_traces(settings, metrics)
        queue = None if self._traces is None else self._traces.queue
        self._context = RoleContext(settings, self.clients, database, self._snapshots, metrics, queue)
        self._stages: dict[str, Stage] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._errors: dict[str, BaseException] = {}
        self._stop = threading.Event()
        self._log = structlog.get_logger("gavel.runtime")
        self._watchdog: Watchdog | None = None
        self._snapshot_failures = 0
        self._problems = options.problems
        self._heartbeat = HeartbeatWriter(database, self._probes())
        self._background.append(self._heartbeat)
        self.health: HealthServer | None = None

    def start(self) -> None:
        """Start everything; returns once the roles' threads run.

        Raises:
            Exception: a role could not be built; the started parts are stopped again.
        """
        (Path(self._settings.data_dir)).mkdir(parents=True, exist_ok=True)
        tune_collector()
        http = self._settings.http
        self.health = HealthServer(
            http.host,
            http.port,
            live=self._live,
            ready=self._ready,
            registry=self._metrics.registry,
            at=self._probes_at,
        )
        self.health.start()
        try:
            if self._embedded is not None:
                ensure_topics(self.clients, self._settings, self._embedded)
            self._snapshots.start()
            for role in self._roles:
                self._stages[role] = self._build(role)
            for role, build in self._beside.items():
                self._role_services[role] = build(self._context)
            self._services = [*self._role_services.values(), *self._services]
            self._watchdog = Watchdog(
                self._stages.values(),
                limit_s=self._settings.watchdog.stall_s,
                metrics=self._metrics,
                counted=partial(self.health.await_scrape, _SCRAPED_WITHIN_S),
            )
            self._watchdog.start()
            self._background.append(self._watchdog)
            for role, stage in self._stages.items():
                # `stop` waits for it, and not the end of the interpreter, which would wait for a call that hangs.
                thread = threading.Thread(target=self._run_stage, args=(role, stage), name=role, daemon=True)
                self._threads[role] = thread
                thread.start()
            for service in self._services:
                service.start()
                self._started.append(service)
        except BaseException:
            self.stop()
            raise
        self._heartbeat.start()
        roles = [*self._roles, *self._beside]
        where = f"http://{http.host}:{self.health.port}/metrics" if self._probes_at is None else "of the supervisor"
        self._log.info("started", roles=roles, metrics=where)

    def _run_stage(self, role: str, stage: Stage) -> None:
        try:
            try:
                stage.run()
            except GroupProtocolUnsupported:
                if not self.clients.fall_back_to_classic_groups():
                    raise
                self._run_with_classic_groups(role)
        except BaseException as error:  # noqa: BLE001  # kept for the exit code; the process ends
            self._errors[role] = error
            self._log.critical("role_failed", role=role, error=str(error), exc_info=error)
        finally:
            self._stop.set()

    def _run_with_classic_groups(self, role: str) -> None:
        self._log.warning(
            "group_protocol_falls_back",
            role=role,
            problem="the broker does not have the consumer groups of KIP-848 (Kafka 4)",
            remedy="set kafka.group_protocol to classic to start without this attempt",
        )
        stage = self._stages[role] = self._build(role)
        if self._stopping:
            stage.stop()
        stage.run()

    def _build(self, role: str) -> Stage:
        stage = BUILDERS[role](self._context)
        if self._traces is not None:
            stage.on_committed = self._traces.queue.results
        return stage

    def request_stop(self) -> None:
        """Ask for the end, from any thread. Not from a signal handler: it takes a lock."""
        self._stop.set()

    def install_signal_handlers(self) -> None:
        """Let SIGTERM and SIGINT drain the roles; a second SIGINT ends at once."""

        def on_signal(number: int, _frame: Any) -> None:
            # A plain attribute, and not the event: the handler may interrupt the very thread that holds its lock.
            self.signalled = number
            signal.signal(number, signal.SIG_DFL)

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)

    def wait(self) -> None:
        """Block until a stop is asked for, or a role or the work beside the roles has ended."""
        while not self._stop.wait(0.2) and self.signalled is None and not self._has_crashed():
            self._export_snapshot()

    def _has_crashed(self) -> bool:
        """Return whether work beside the roles ended by a defect. Without this, the roles would go on without it."""
        for work in self._background:
            if work.crash is not None:
                self._errors[work.thread_name] = work.crash
                self._log.critical("background_failed", work=work.thread_name, exc_info=work.crash)
        return any(work.crash is not None for work in self._background)

    def stop(self) -> int:
        """Drain the roles and release everything.

        Returns:
            The exit code: 0 if every role ended in order.
        """
        self._stopping = True
        for service in reversed(self._started):
            service.stop()
        for stage in self._stages.values():
            stage.stop()
        deadline = monotonic() + self._settings.watchdog.shutdown_s + _LEAVE_S
        for thread in self._threads.values():
            thread.join(max(0.1, deadline - monotonic()))
        alive = [role for role, thread in self._threads.items() if thread.is_alive()]
        if self._watchdog is not None:
            self._watchdog.stop()
        self._snapshots.stop()
        if self.health is not None:
            self.health.stop()
        failed = sorted({*self._errors, *alive})
        self._heartbeat.stop({role: str(self._errors.get(role, "it did not end in time")) for role in failed})
        self._context.close()
        if self._traces is not None:
            self._traces.stop()
        self.clients.close()
        self._log.info("stopped", failed=failed)
        return EXIT_FAILED if failed else EXIT_OK

    def records_in_flight(self) -> int:
        """Return the number of records that any role has read and not committed."""
        return sum(stage.records_in_flight for stage in self._stages.values())

    def errors(self) -> dict[str, BaseException]:
        """The error that ended each failed role."""
        return dict(self._errors)

    # -- seen from outside ----------------------------------------------------------------------------

    def _probes(self) -> dict[str, Probe]:
        """Return what looks at each role and at each service that is a role elsewhere."""

        def stage(role: str) -> Vitals:
            found = self._stages.get(role)
            if found is None:
                return Vitals("starting", "it is being built")
            details = self._context.details.get(role, dict)()
            return stage_vitals(found, self._snapshots, self._metrics, self._problems, details)

        def beside(role: str) -> Condition:
            service = self._role_services.get(role)
            if service is None:
                return "starting", "it is being built", {}
            ready, reason = service.state()
            return "running" if ready else "waiting", reason, {}

        probes: dict[str, Probe] = {role: partial(stage, role) for role in self._roles}
        looks: dict[str, Callable[[], Condition]] = {role: partial(beside, role) for role in self._beside}
        for service in self._services:
            if service.name in SERVICE_ROLES:
                looks[service.name] = getattr(service, "condition", running)
        for name, condition in looks.items():
            probes[name] = partial(service_vitals, name, self._metrics, self._problems, condition)
        return probes

    def _export_snapshot(self) -> None:
        failures = self._snapshots.failures
        self._metrics.count("gavel_snapshot_failures", failures - self._snapshot_failures)
        self._snapshot_failures = failures
        note_disk(self._metrics, self._settings)
        self._metrics.since("gavel_snapshot_age_seconds", time() - self._snapshots.age_s)
        snapshot = self._snapshots.current
        if snapshot is not None:
            if snapshot.revision != self._revision_seen:
                self._revision_seen = snapshot.revision
                models_born(self._metrics, snapshot, self._settings.judge)
            self._metrics.set("gavel_snapshot_loaded", 1)
            self._metrics.set("gavel_snapshot_broken", len(snapshot.broken))
            self._metrics.set("gavel_snapshot_revision", snapshot.revision)
            self._metrics.set("gavel_snapshot_evaluations", sum(team.enabled for team in snapshot.teams.values()))

    def _live(self) -> tuple[bool, dict[str, Any]]:
        now = monotonic()
        turns = {role: round(now - stage.heartbeat_s, 1) for role, stage in self._stages.items()}
        # A commit may take as long as its timeout; the watchdog ends what really hangs.
        limit = max(_LIVE_WITHIN_S, self._settings.kafka.transaction_timeout_s * 2)
        return all(turn < limit for turn in turns.values()), {"seconds_since_turn": turns}

    def _ready(self) -> tuple[bool, dict[str, Any]]:
        waiting = [role for role, stage in self._stages.items() if stage.waits_for_partitions]
        away = [role for role, stage in self._stages.items() if kafka_away(stage, self._metrics)]
        snapshot = self._snapshots.current
        details: dict[str, Any] = {
            "roles": {role: stage.subscribed for role, stage in self._stages.items()},
            "partitions": {role: stage.partitions for role, stage in self._stages.items()},
            "revision": None if snapshot is None else snapshot.revision,
        }
        if snapshot is None:
            details["waiting_for"] = "the first load of the evaluation definitions from the store"
        elif away:
            details["waiting_for"] = f"Kafka, of which no broker is connected or answers: {', '.join(away)}"
        elif waiting:
            details["waiting_for"] = f"partitions of the consumer group: {', '.join(waiting)}"
        if self._heartbeat.clock_problem:
            details["clock"] = self._heartbeat.clock_problem
        if "sink" in self._stages and self._metrics.total("gavel_sink_blocked"):
            details["blocked"] = SINK_BLOCKED  # it stays ready: another process would be blocked too
        for role, service in self._role_services.items():
            details["roles"][role], reason = service.state()
            if reason:
                details.setdefault("waiting_for", reason)
        # A role beside the stages that waits keeps no process from its work: results are counted later.
        alone = not self._stages and not all(details["roles"].values())
        working = not (waiting or away or alone)
        return bool(details["roles"]) and working and snapshot is not None, details
