"""The clock of this host: whether it jumps, and whether it agrees with the store's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

TOLERATED_S = 5.0
"""Seconds by which clocks may differ or jump; time synchronisation keeps them within fractions of one."""
REMEDY = "start time synchronisation on its host (chrony or systemd-timesyncd)"
_TOLD_FOR_S = 3600.0


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


class ClockWatch:
    """Compares the time of day with a clock that cannot be set. Belongs to one thread.

    Args:
        now: the time of day.
        steady_s: seconds of a clock that only goes forward. On Linux it stands still while the machine sleeps.
    """

    def __init__(self, now: Callable[[], datetime], steady_s: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._steady_s = steady_s
        self._distance_s = self._look()
        self._jump_s = 0.0
        self._jumped_at_s = 0.0

    def jump_s(self) -> float:
        """Return by how many seconds the time of day has jumped since the last call; 0 if it has not."""
        before_s, self._distance_s = self._distance_s, self._look()
        jump_s = self._distance_s - before_s
        if abs(jump_s) <= TOLERATED_S:
            return 0.0
        self._jump_s, self._jumped_at_s = jump_s, self._steady_s()
        return jump_s

    def recent_jump_s(self) -> float:
        """Return the last jump, if it was within the last hour; otherwise 0."""
        return self._jump_s if self._steady_s() - self._jumped_at_s < _TOLD_FOR_S else 0.0

    def _look(self) -> float:
        return self._now().timestamp() - self._steady_s()


def distance_in_words(ahead_s: float) -> str | None:
    """Return that a clock is ahead of the store's or behind it; None within `TOLERATED_S`."""
    if abs(ahead_s) <= TOLERATED_S:
        return None
    return f"its clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the store's"


def jump_in_words(jump_s: float) -> str | None:
    """Return that a clock jumped; None for 0."""
    if not jump_s:
        return None
    return f"its clock jumped {abs(jump_s):.0f} s {'forward' if jump_s > 0 else 'back'} within the last hour"
