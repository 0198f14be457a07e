"""How many requests a key may make: a token bucket per key, in the memory of this process.

With several API processes behind a balancer each holds its own buckets, so the limit of the deployment is
the setting times the number of processes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

_MAX_KEYS = 10_000


class RateLimiter:
    """Token buckets by key; safe to use from many threads.

    Args:
        per_minute: requests a minute that a key may make for long; 0 switches the limit off.
        burst: requests that a key which was quiet may make at once.
        monotonic_s: the clock, in seconds.
    """

    def __init__(self, *, per_minute: float, burst: int, monotonic_s: Callable[[], float]) -> None:
        self._per_s = per_minute / 60
        self._burst = float(burst)
        self._now = monotonic_s
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token of `key`. Return 0.0 if there was one, else the seconds until there is."""
        if self._per_s <= 0:
            return 0.0
        with self._lock:
            now = self._now()
            tokens, since = self._buckets.pop(key, (self._burst, now))
            tokens = min(self._burst, tokens + (now - since) * self._per_s)
            wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self._per_s
            self._buckets[key] = (tokens - 1 if wait_s == 0.0 else tokens, now)
            if len(self._buckets) > _MAX_KEYS:
                # The key that was quiet longest has the fullest bucket: forgetting it changes least.
                self._buckets.popitem(last=False)
            return wait_s
