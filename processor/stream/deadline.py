"""One monotonic deadline that all steps of a revoke or a shutdown share."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Deadline:
    """A point in monotonic time.

    Args:
        budget_s: seconds from now.
        clock: monotonic seconds.
    """

    def __init__(self, budget_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._end_s = clock() + budget_s

    def left_s(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self._end_s - self._clock())

    def over(self) -> bool:
        """Whether no time is left."""
        return self.left_s() == 0.0

    def over_for(self, seconds: float) -> bool:
        """Whether it was over `seconds` ago."""
        return self._clock() - self._end_s >= seconds

    def sooner(self, other: Deadline) -> Deadline:
        """Return the one of the two that is over first."""
        return self if self.left_s() <= other.left_s() else other
