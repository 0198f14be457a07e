"""What the roles of one process share, and what each needs to be put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from config.settings import Settings
from config.snapshot import SnapshotPoller
from config.store.engine import Database
from config.store.evaluations import Evaluations
from processor.committer import AtLeastOnceCommitter, Committer, TransactionalCommitter
from processor.dead_letters import RatioGuard
from processor.hog_status import HogFailures
from processor.kafka import KafkaClients
from processor.metrics import Metrics


@dataclass
class RoleContext:
    """What the roles of one process share."""

    settings: Settings
    clients: KafkaClients
    database: Database
    snapshots: SnapshotPoller
    metrics: Metrics
    on_close: list[Callable[[], None]] = field(default_factory=list)

    def committer(self, role: str) -> Committer:
        """Return the committer that `delivery` asks for."""
        if self.settings.delivery == "exactly_once":
            return TransactionalCommitter(self.clients.transactional_config(role))
        return AtLeastOnceCommitter(self.clients.producer_config())

    @property
    def rejoin_s(self) -> float:
        """Seconds within which a group takes a member back that lost its partitions: a rebalance has ended by then."""
        return self.settings.kafka.max_poll_interval_s + self.settings.kafka.session_timeout_s

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
        Evaluations(self.database).set_status(
            team_id,
            evaluation_id,
            "error",
            actor="gavel",
            now=datetime.now(UTC),
            reason="hog_error",
            detail=detail,
            only_from=["active"],
        )

    def close(self) -> None:
        """Release what roles registered."""
        for close in reversed(self.on_close):
            close()
