"""The events that were acknowledged lately, so that a request that is sent again is recognised early."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from time import monotonic

_REMEMBERED = 100_000
_REMEMBERED_FOR_S = 600.0


class RecentEvents:
    """The uuids of the last ten minutes by team, 100,000 at the most. This saves work; it proves nothing.

    They are kept and forgotten by requests, because that costs a fraction of doing it by events. Threads may share it.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._requests: deque[tuple[float, int, list[str]]] = deque()
        self._by_team: dict[int, set[str]] = {}
        self._size = 0

    def of_team(self, team_id: int) -> Collection[str]:
        """Return the uuids that are remembered for a team; to be looked at and not to be kept."""
        with self._lock:
            self._forget()
            return self._by_team.get(team_id, ())

    def remember(self, team_id: int, uuids: list[str]) -> None:
        """Note events of a request that are acknowledged."""
        if not uuids:
            return
        with self._lock:
            self._requests.append((self._clock(), team_id, uuids))
            self._by_team.setdefault(team_id, set()).update(uuids)
            self._size += len(uuids)
            self._forget()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._requests.clear()
            self._by_team.clear()
            self._size = 0

    def _forget(self) -> None:
        oldest_s = self._clock() - _REMEMBERED_FOR_S
        requests = self._requests
        while requests and (self._size > _REMEMBERED or requests[0][0] <= oldest_s):
            _, team_id, uuids = requests.popleft()
            self._size -= len(uuids)
            left = self._by_team[team_id]
            left.difference_update(uuids)
            if not left:
                del self._by_team[team_id]
