"""The metrics of this room, as far as it knows them; the process's catalogue defines them."""

from __future__ import annotations

from typing import Literal, Protocol

ReportsCounter = Literal[
    "gavel_records_consumed",
    "gavel_records_skipped",
    "gavel_windows_results",
    "gavel_windows_shifts",
    "gavel_windows_restarts",
    "gavel_clustering_runs",
    "gavel_reports_generated",
    "gavel_reports_deliveries",
    "gavel_reports_runs",
    "gavel_reports_events_not_sent",
]
ReportsGauge = Literal["gavel_windows_kept", "gavel_windows_current", "gavel_reports_open"]
ReportsAge = Literal["gavel_reports_overdue_seconds"]


class ReportsMetrics(Protocol):
    """Where reports are counted; `processor.metrics.Metrics` is one."""

    def count(self, name: ReportsCounter, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""

    def set(self, name: ReportsGauge, value: float, **labels: str) -> None:
        """Set a gauge."""

    def since(self, name: ReportsAge, moment_s: float, **labels: str) -> None:
        """Set the moment, in epoch seconds, since which an age counts; 0 for an age of 0."""
