"""Since when a part of Gavel does not answer, as far as the pages have noticed."""

from __future__ import annotations

import threading
from datetime import datetime

STORE, KAFKA = "store_unavailable", "kafka_unavailable"


class Absences:
    """The parts that did not answer, by the codes of their errors. Safe to use from many threads.

    ClickHouse is not among them, because `BoundedArchive` knows since when it is away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[str, datetime] = {}

    def noticed(self, code: str, now: datetime) -> datetime | None:
        """Return since when the part of an error is away, `now` if it answered before; None for any other error."""
        if code not in (STORE, KAFKA):
            return None
        with self._lock:
            return self._since.setdefault(code, now)

    def answered(self, code: str) -> None:
        """Forget that a part was away, because it has just answered."""
        with self._lock:
            self._since.pop(code, None)
