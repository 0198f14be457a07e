"""How the reports role is put together from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from config.settings import Settings
from processor.events.confirmed import ConfirmedProducer
from reports.clustering.runner import ClusteringRunner
from reports.evaluation_reports.service import build_evaluation_reports
from reports.evaluation_reports.trust import TrustOf
from reports.events import EventOutlet
from reports.metrics import ReportsMetrics
from reports.service import ReportsService, ServiceState
from reports.windows.from_clickhouse import ClickHouseWindows
from reports.windows.rules import Rules
from reports.windows.shifts import ShiftOutlet
from storage.snapshot import SnapshotPoller
from storage.sql.engine import Database


class Clients(Protocol):
    """The Kafka clients of the process; `processor.kafka.KafkaClients` makes them."""

    @property
    def bootstrap_servers(self) -> str:
        """The address that clients connect to."""

    def producer_config(self) -> dict[str, Any]:
        """Return the options of an idempotent producer."""


class RoleParts(Protocol):
    """The parts that the roles of one process share; `processor.role_context.RoleContext` has them."""

    @property
    def settings(self) -> Settings:
        """All settings."""

    @property
    def clients(self) -> Clients:
        """The maker of Kafka clients."""

    @property
    def database(self) -> Database:
        """The store."""

    @property
    def snapshots(self) -> SnapshotPoller:
        """The definitions."""

    @property
    def metrics(self) -> ReportsMetrics:
        """The metrics of the process."""


class ReportsRole:
    """The services of the role, started and stopped together."""

    name = "reports"

    def __init__(self, services: Sequence[ReportsService]) -> None:
        self._services = tuple(services)
        self._started: list[ReportsService] = []

    def start(self) -> None:
        """Start all services."""
        for service in self._services:
            service.start()
            self._started.append(service)

    def stop(self) -> None:
        """Stop those that were started, the last one first."""
        while self._started:
            self._started.pop().stop()

    def state(self) -> tuple[bool, str]:
        """Return whether every service does its work, and why not."""
        reasons = [state.reason for state in self.states().values() if not state.ready]
        return not reasons, "; ".join(reasons)

    def states(self) -> dict[str, ServiceState]:
        """Return how each service is, by name."""
        return {service.name: service.state() for service in self._services}


TrustFrom = Callable[[Settings, Database], TrustOf]
"""Returns the function that says how far a judge can be believed. This room must not import the API, which has it."""


def build_reports(parts: RoleParts, *, trust: TrustFrom | None = None) -> ReportsRole:
    """Return the role: the live windows, clustering and evaluation reports."""
    settings = parts.settings
    send = EventOutlet(ConfirmedProducer(parts.clients.producer_config), settings.kafka.topics.results)
    clustering = ClusteringRunner(
        settings, parts.database, metrics=parts.metrics, send=send, now=lambda: datetime.now(UTC)
    )
    reports = build_evaluation_reports(
        settings,
        parts.database,
        send=send,
        metrics=parts.metrics,
        trust=None if trust is None else trust(settings, parts.database),
    )
    return ReportsRole([_windows(parts, send), clustering, reports])


def _windows(parts: RoleParts, send: EventOutlet) -> ReportsService:
    settings = parts.settings
    rules = Rules(parts.snapshots)
    outlet = ShiftOutlet(parts.database, send)
    if windows_source(settings) == "clickhouse":
        return ClickHouseWindows(
            settings.clickhouse.dsn.get_secret_value(),
            metrics=parts.metrics,
            rule_of=rules,
            loaded=lambda: rules.loaded,
            write_shifts=outlet,
            now=lambda: datetime.now(UTC),
            interval_s=settings.windows.poll_interval_s,
            seen_ids=settings.windows.seen_ids,
        )
    # Faust takes a second to load, and only this role needs it.
    from reports.windows.app import WindowsParts
    from reports.windows.service import FaustWindows

    faust = WindowsParts(
        settings,
        parts.clients.bootstrap_servers,
        parts.metrics,
        rule_of=rules,
        write_shifts=outlet,
        now_s=lambda: int(time.time()),
    )
    return FaustWindows(faust, lambda: rules.loaded, time.monotonic)


def windows_source(settings: Settings) -> str:
    """Return where results are counted: `kafka` or `clickhouse`."""
    source = settings.windows.source
    return source if source != "auto" else "clickhouse" if settings.kafka.is_embedded else "kafka"
