"""The rollouts of a team's condition sets as masks: one hash tells which sets take the event."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from conditions.rollout import rollout_number


class SharedSampling:
    """Rollouts of the sets that sample by the event's uuid.

    Args:
        rollouts: the percentage and the mask of each.
    """

    def __init__(self, rollouts: Sequence[tuple[float, int]]) -> None:
        self._always = 0
        partial: dict[float, int] = {}
        for percentage, mask in rollouts:
            if percentage >= 100:
                self._always |= mask
            elif percentage > 0:
                partial[percentage] = partial.get(percentage, 0) | mask
        self._percentages = sorted(partial)
        self._partial = 0
        # _taken[i]: the sets that take an event below all of _percentages[i:]
        self._taken = [self._always]
        for percentage in reversed(self._percentages):
            self._partial |= partial[percentage]
            self._taken.insert(0, self._taken[0] | partial[percentage])

    def taken(self, uuid: str, sets: int) -> int:
        """Return a mask in which the bit of each of `sets` tells whether it takes the event. Ignore the other bits."""
        if not sets & self._partial:
            return self._always  # no hash is needed
        return self._taken[bisect_right(self._percentages, rollout_number(uuid))]
