"""Services of the reports role, each with a thread of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service is: whether it does its work, and why not."""

    ready: bool
    reason: str


class ReportsService(Protocol):
    """One service of the role."""

    name: str

    def start(self) -> None:
        """Begin; must not block."""

    def stop(self) -> None:
        """End in order."""

    def state(self) -> ServiceState:
        """Return how it is. Safe from any thread."""
