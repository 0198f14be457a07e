"""Which teams send generations without content: most OpenTelemetry instrumentations record none unless told to."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

_CONTENT = (b'"$ai_input"', b'"$ai_output_choices"', b'"$ai_output"')
"""Names as they stand in JSON. Inside a text a quote is escaped, so none of them is found there."""
_TEAMS_SHOWN = 50
_WINDOW_S = 3600.0


def is_empty(properties: bytes) -> bool:
    """Return whether the properties of a generation have neither input nor output."""
    for name in _CONTENT:  # noqa: SIM110  # a generator for `any` would cost more than the search
        if name in properties:
            return False
    return True


class EmptyGenerations:
    """Counts by team for the present hour and the one before. Threads may share it; a count may then be off by a few.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._since_s = clock()
        self._now: dict[int, list[int]] = {}
        self._before: dict[int, list[int]] = {}

    def note(self, team_id: int, *, empty: int, total: int) -> None:
        """Count generations of a team, and how many of them are empty."""
        counts = self._now.get(team_id)
        if counts is None:
            counts = self._now[team_id] = [0, 0]
        counts[0] += empty
        counts[1] += total

    def shares(self) -> dict[str, list[int]]:
        """Return team → [empty ones, all] of the last one to two hours, of the teams with the most empty ones."""
        if self._clock() - self._since_s > _WINDOW_S:
            self._before, self._now, self._since_s = self._now, {}, self._clock()
        found: dict[int, list[int]] = {}
        for counted in (self._before, self._now):
            for team_id, (empty, total) in list(counted.items()):
                sums = found.setdefault(team_id, [0, 0])
                sums[0] += empty
                sums[1] += total
        worst = sorted((team for team in found if found[team][0]), key=lambda team: -found[team][0])
        return {str(team): found[team] for team in worst[:_TEAMS_SHOWN]}
