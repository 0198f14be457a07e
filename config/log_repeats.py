"""A filter for the logs of libraries that say the same thing many times a second."""

from __future__ import annotations

import logging
import re
from time import monotonic

_REPEAT_AFTER_S = 30.0
_VARYING = re.compile(r"(?<!\d)\d+ms|#\w+-\d+")


class FirstOfMany(logging.Filter):
    """Lets a message pass once in 30 s: a client that cannot connect says so twenty times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is news."""
        shape = _VARYING.sub("", record.getMessage())
        now = monotonic()
        if now - self._last_s.get(shape, -_REPEAT_AFTER_S) < _REPEAT_AFTER_S:
            return False
        if len(self._last_s) > 1000:
            self._last_s.clear()
        self._last_s[shape] = now
        return True
