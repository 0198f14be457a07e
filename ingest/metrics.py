"""The metrics of the front door, as far as this room knows them; the process's catalogue defines them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, get_args

from prometheus_client import CollectorRegistry

from config.settings.ingest import Forwardable

IngestCounter = Literal[
    "gavel_ingest_requests",
    "gavel_ingest_events",
    "gavel_ingest_not_forwarded",
    "gavel_ingest_empty_generations",
    "gavel_ingest_bytes",
    "gavel_ingest_unreadable_times",
    "gavel_dead_letters",
]
IngestGauge = Literal["gavel_ingest_reserved_bytes", "gavel_ingest_ready"]
IngestHistogram = Literal["gavel_ingest_ack_seconds", "gavel_ingest_clock_skew_seconds"]


PROTOCOLS = ("v0", "v1", "otlp", "none")
_STATUSES = ("200", "204", "400", "401", "404", "405", "408", "413", "415", "429", "500", "503", "gone")
KNOWN_EVENTS = frozenset(
    {*get_args(Forwardable), "$ai_evaluation", "$identify", "$pageview", "$autocapture", "$set", "$exception"}
)  # fmt: skip
"""Names that metrics tell apart; a client could invent any number of others."""
OTHER_EVENT = "other"


def give_birth(metrics: IngestMetrics, *, role: str, outcomes: Iterable[str], letters: Iterable[str]) -> None:
    """Export the counters whose labels are known beforehand as 0: `increase()` needs the value before the first one.

    Args:
        role: the front door's name in counters that all roles share.
        outcomes: of events. letters: reasons of dead letters.
    """
    for protocol in PROTOCOLS:
        for status in _STATUSES:
            metrics.count("gavel_ingest_requests", 0, protocol=protocol, status=status)
    for outcome in (*outcomes, "other_span", "other_signal"):
        metrics.count("gavel_ingest_events", 0, outcome=outcome)
    for event in (*KNOWN_EVENTS, OTHER_EVENT):
        metrics.count("gavel_ingest_not_forwarded", 0, event=event)
    for reason in letters:
        metrics.count("gavel_dead_letters", 0, role=role, reason=reason)
    metrics.count("gavel_ingest_empty_generations", 0)
    metrics.count("gavel_ingest_unreadable_times", 0)
    metrics.count("gavel_ingest_bytes", 0)
    metrics.set("gavel_ingest_reserved_bytes", 0)


class IngestMetrics(Protocol):
    """Where the front door counts; `processor.metrics.Metrics` is one."""

    registry: CollectorRegistry

    def count(self, name: IngestCounter, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""

    def set(self, name: IngestGauge, value: float, **labels: str) -> None:
        """Set a gauge."""

    def observe(self, name: IngestHistogram, seconds: float, **labels: str) -> None:
        """Add one observation to a histogram."""
