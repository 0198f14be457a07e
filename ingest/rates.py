"""Rates of project tokens: how many events and bytes a second each may send to one process."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from storage.sql.project_tokens import ProjectToken

_BURST_S = 2.0
"""A token that was quiet may send this many seconds of its rate at once."""


class Rates:
    """Token buckets. A request that is let in may overdraw its bucket, so a batch larger than the rate passes too.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[int, str], tuple[float, float]] = {}

    def take(self, token: ProjectToken, *, events: int, size_bytes: int) -> float:
        """Return 0 and count the request, or the seconds after which the token may send again."""
        if not token.events_per_s and not token.bytes_per_s:
            return 0.0
        wanted = (("events", token.events_per_s, events), ("bytes", token.bytes_per_s, size_bytes))
        now = self._clock()
        levels: list[tuple[tuple[int, str], float]] = []
        for name, rate, amount in wanted:
            if not rate:
                continue
            key = (token.id, name)
            level, since = self._buckets.get(key, (rate * _BURST_S, now))
            level = min(rate * _BURST_S, level + (now - since) * rate)
            if level <= 0:
                return max(0.001, -level / rate)
            levels.append((key, level - amount))
        for key, level in levels:
            self._buckets[key] = (level, now)
        return 0.0
