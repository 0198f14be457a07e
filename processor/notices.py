"""Log lines about things that happen again and again: the first at once, and then seldom or not at all."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any

import structlog

_EVERY_S = 30.0
_MAX_KEYS = 1000


class Notices:
    """Writes a line for the first of its kind, and then at most one in 30 s with how many came. Safe for threads.

    Args:
        logger: name of the logger.
        clock: monotonic seconds.
    """

    def __init__(self, logger: str, *, clock: Callable[[], float] = monotonic) -> None:
        self._log = structlog.get_logger(logger)
        self._clock = clock
        self._lock = Lock()
        self._last_s: dict[tuple[str, ...], float] = {}
        self._counts: dict[tuple[str, ...], int] = {}

    def note(self, event: str, *key: str, **fields: Any) -> None:
        """Count one of a kind, and log it if its time has come.

        Args:
            key: tells kinds of one event apart, such as a reason.
            fields: of the line; they describe the newest one.
        """
        kind = (event, *key)
        with self._lock:
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
            now = self._clock()
            if now - self._last_s.get(kind, -_EVERY_S) < _EVERY_S:
                return
            if len(self._last_s) >= _MAX_KEYS:
                self._last_s.clear()
                self._counts.clear()
            self._last_s[kind] = now
            self._counts[kind] = 0
        self._log.warning(event, count=count, **fields)
