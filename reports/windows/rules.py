"""How the verdicts of each evaluation are read, by the definitions in memory."""

from __future__ import annotations

from storage.clickhouse.query import PassRule
from storage.snapshot import Snapshot, SnapshotPoller

_UNKNOWN = PassRule()


class Rules:
    """Passing rules by team and evaluation, from the newest snapshot. Used by one thread."""

    def __init__(self, snapshots: SnapshotPoller) -> None:
        self._snapshots = snapshots
        self._snapshot: Snapshot | None = None
        self._rules: dict[tuple[int, str], PassRule] = {}

    @property
    def loaded(self) -> bool:
        """Whether the definitions are known; before that no result can be read."""
        return self._snapshots.current is not None

    def __call__(self, team_id: int, evaluation_id: str) -> PassRule:
        """Return an evaluation's rule; the neutral one if it is deleted."""
        snapshot = self._snapshots.current
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._rules.clear()
        key = (team_id, evaluation_id)
        rule = self._rules.get(key)
        if rule is None:
            found = None if snapshot is None else snapshot.find(team_id, evaluation_id)
            rule = self._rules[key] = _UNKNOWN if found is None else PassRule.of(found.definition.output_config)
        return rule
