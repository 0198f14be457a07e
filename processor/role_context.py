"""The parts that the roles of one process share, and that build each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from config.settings import Settings
from processor.dead_letters.letter import RatioGuard
from processor.hog_failures import HogFailures
from processor.kafka import KafkaClients
from processor.metrics import Metrics
from processor.stream.committer import AtLeastOnceCommitter, Committer, TransactionalCommitter
from processor.tracing.queue import TraceQueue
from storage.snapshot import SnapshotPoller
from storage.sql.engine import Database
from storage.sql.evaluations import Evaluations

_SPARE_S = 15.0


@dataclass
class RoleContext:
    """The parts that the roles of one process share."""

    settings: Settings
    clients: KafkaClients
    database: Database
    snapshots: SnapshotPoller
    metrics: Metrics
    traces: TraceQueue | None = None
    on_close: list[Callable[[], None]] = field(default_factory=list)
    details: dict[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)
    """By role: returns its own part of the heartbeat. Another thread calls it, so it must not block."""

    def committer(self, role: str) -> Committer:
        """Return the committer that `delivery` asks for."""
        if self.settings.delivery == "exactly_once":
            return TransactionalCommitter(self.clients.transactional_config(role))
        return AtLeastOnceCommitter(self.clients.producer_config())

    @property
    def rejoin_s(self) -> float:
        """Seconds within which a group takes a member back that lost its partitions: a rebalance has ended by then.

        A group of the classic protocol may wait for members that are gone; a group of the other one never does.
        """
        kafka = self.settings.kafka
        if self.clients.group_protocol == "consumer":
            return kafka.session_timeout_s + _SPARE_S
        return kafka.max_poll_interval_s + kafka.session_timeout_s

    def guard(self) -> RatioGuard:
        """Return a guard over the dead letters of one role."""
        letters = self.settings.dead_letters
        return RatioGuard(letters.ratio_limit, letters.ratio_window)

    def hog_failures(self) -> HogFailures:
        """Return what switches off evaluators that keep failing."""
        failures = HogFailures(self._stop_evaluation)
        self.on_close.append(failures.close)
        return failures

    def _stop_evaluation(self, team_id: int, evaluation_id: str, detail: str) -> None:
        stopped = Evaluations(self.database).set_status(
            team_id,
            evaluation_id,
            "error",
            actor="gavel",
            now=datetime.now(UTC),
            reason="hog_error",
            detail=detail,
            only_from=["active"],
        )
        if stopped.status == "error":  # a person may have paused it meanwhile
            self.metrics.count("gavel_judge_status_changes", status="error", reason="hog_error")

    def close(self) -> None:
        """Release what roles registered."""
        for close in reversed(self.on_close):
            close()
