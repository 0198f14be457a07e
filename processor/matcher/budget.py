"""How much of a batch's time one team may use, so that its evaluations do not delay those of another team."""

from __future__ import annotations

from math import inf


class TeamBudget:
    """Adds up the seconds that each team has used of the current batch.

    Beyond `limit_s` a team's Hog runs of that batch are made by the judge role. If matching alone has used that much,
    its further events are matched there too. The verdicts are the same, because both roles run the same code.

    Args:
        limit_s: seconds of matching and Hog per team and batch; infinite for a replay, which delays nobody.
    """

    def __init__(self, limit_s: float = inf) -> None:
        self._limit_s = limit_s
        self._matching: dict[int, float] = {}
        self._running: dict[int, float] = {}

    def begin(self) -> None:
        """Begin a batch: every team has its whole budget again."""
        self._matching.clear()
        self._running.clear()

    def matched(self, team_id: int, seconds: float) -> None:
        """Note time that matching took."""
        self._matching[team_id] = self._matching.get(team_id, 0.0) + seconds

    def ran(self, team_id: int, seconds: float) -> None:
        """Note time that Hog took."""
        self._running[team_id] = self._running.get(team_id, 0.0) + seconds

    def left_to_match_s(self, team_id: int) -> float:
        """Return the seconds for which events of the team may still be matched in this batch; negative if none."""
        return self._limit_s - self._matching.get(team_id, 0.0)

    def left_to_run_s(self, team_id: int) -> float:
        """Return the seconds for which Hog of the team may still run in this batch; not positive if none."""
        return self._limit_s - self._matching.get(team_id, 0.0) - self._running.get(team_id, 0.0)
