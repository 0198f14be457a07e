"""Generations whose timestamp is odd against the time of their arrival.

Timestamps are compared as the texts that ingestion writes. Only a text outside of the usual range, or of another form,
is parsed, so that an ordinary event costs one comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from conditions import EventRow, RowError
from processor.events.generation import parse_timestamp

OutOfTime = Literal["late", "future", "out_of_order"]
OUT_OF_TIME: Final[tuple[OutOfTime, ...]] = ("late", "future", "out_of_order")
LATE: Final = timedelta(hours=1)
AHEAD: Final = timedelta(minutes=5)
DISORDER: Final = timedelta(minutes=1)
_FIRST = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
"""A moment before all events, from which a minute can be taken."""


class EventTimes:
    """Compares the timestamps of events with their arrival in Kafka. Belongs to one thread."""

    def __init__(self) -> None:
        self._late = self._ahead = self._newest = _FIRST
        self._low = self._high = ""

    def arrive(self, arrived_ms: int) -> None:
        """Begin with records of one partition, the first of which arrived at a time as `record_time_ms` returns it."""
        arrived = datetime.fromtimestamp(arrived_ms / 1000, UTC)
        self._late, self._ahead, self._newest = arrived - LATE, arrived + AHEAD, _FIRST
        self._low, self._high = _text(self._late), _text(self._ahead)

    def odd(self, rows: Sequence[EventRow]) -> list[OutOfTime]:
        """Return the oddities of the timestamps of `rows`, which follow each other; ordinary ones have none."""
        low, high = self._low, self._high
        found = []
        for row in rows:
            stamp = row.timestamp
            if stamp is None or not low < stamp < high:
                kind = self._kind(stamp)
                if kind is not None:
                    found.append(kind)
        if rows:
            self._go_on(rows[-1].timestamp)
        return found

    def _kind(self, stamp: str | None) -> OutOfTime | None:
        try:
            moment = parse_timestamp(stamp)
        except RowError:
            return None  # the event is refused where it is matched
        if moment > self._ahead:
            return "future"
        if moment < self._late:
            return "late"
        return "out_of_order" if moment < self._newest - DISORDER else None

    def _go_on(self, stamp: str | None) -> None:
        """Hold the next events against `stamp` too."""
        try:
            moment = parse_timestamp(stamp)
        except RowError:
            return
        if self._newest < moment <= self._ahead:
            self._newest = max(moment, self._late + DISORDER)
            self._low = _text(self._newest - DISORDER)


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")
