"""Stretches of time on charts: hours for a day, quarters of days for a week, days of the reader's zone beyond."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.times import Zone
from console.visit import Period

_HOURLY, _QUARTERLY = timedelta(days=2), timedelta(days=8)
_MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Buckets:
    """Consecutive stretches of time.

    Attributes:
        edges: one more than there are stretches.
    """

    edges: tuple[datetime, ...]
    zone: Zone

    def __len__(self) -> int:
        return len(self.edges) - 1

    def place(self, moment: datetime) -> int | None:
        """Return the number of the stretch that holds `moment`, or None."""
        found = bisect_right(self.edges, moment) - 1
        return found if 0 <= found < len(self) else None

    def middle(self, place: int) -> datetime:
        """Return the middle of a stretch."""
        return self.edges[place] + (self.edges[place + 1] - self.edges[place]) / 2

    def label(self, place: int) -> str:
        """Return the start of a stretch as readers see it."""
        local = self.zone.local(self.edges[place])
        whole_day = self.edges[place + 1] - self.edges[place] >= timedelta(hours=23)
        return f"{local:%Y-%m-%d}" if whole_day else f"{local:%Y-%m-%d %H:%M}"

    def ticks(self) -> Sequence[tuple[datetime, str]]:
        """Return places of the axis with their labels."""
        edges = list(self.edges[:-1])
        short = self.edges[-1] - self.edges[0] <= _HOURLY
        if not short:
            edges = [edge for edge in edges if self.zone.local(edge).hour == 0] or edges
        step = max(1, len(edges) // _MOST_TICKS)
        return [(edge, self.zone.local(edge).strftime("%H:%M" if short else "%d %b")) for edge in edges[::step]]


def buckets_of(period: Period, zone: Zone) -> Buckets:
    """Return the stretches that a chart of `period` has. The first begins at or before its start."""
    length = period.end - period.start
    if length > _QUARTERLY:
        days = list(zone.days(period.start, period.end))
        return Buckets((*(day[0] for day in days), days[-1][1]), zone)
    if length > _HOURLY:
        return Buckets(tuple(zone.quarters(period.start, period.end)), zone)
    hour = timedelta(hours=1)
    first = zone.local(period.start).replace(minute=0, second=0, microsecond=0).astimezone(period.start.tzinfo)
    count = -(-(period.end - first) // hour)
    return Buckets(tuple(first + hour * place for place in range(count + 1)), zone)
