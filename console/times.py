"""Times as readers see them: in one zone on every page, with the offset, and days cut in that zone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from markupsafe import Markup

MAX_ZONE_NAME = 64


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone by its IANA name."""

    name: str

    @property
    def info(self) -> ZoneInfo:
        """The rules of the zone."""
        return ZoneInfo(self.name)

    def local(self, moment: datetime) -> datetime:
        """Return an aware time in this zone."""
        return moment.astimezone(self.info)

    def text(self, moment: datetime) -> str:
        """Return `2026-11-28 14:03:11 +09:00`."""
        local = self.local(moment)
        offset = local.strftime("%z")
        return f"{local:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:5]}"

    def element(self, moment: datetime) -> Markup:
        """Return a `<time>` element."""
        utc = moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return Markup('<time datetime="{}">{}</time>').format(utc, self.text(moment))

    def days(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the start and the end of each local day that overlaps `start` to `end`, in UTC.

        A day has 23 or 25 hours where the zone changes its offset.
        """
        day = self.local(start).date()
        while (begins := self._at(day)) < end:
            day += timedelta(days=1)
            yield begins, self._at(day)

    def quarters(self, start: datetime, end: datetime) -> list[datetime]:
        """Return each local 0, 6, 12 and 18 o'clock in UTC, from the last one up to `start` to the first from `end` on.

        A quarter has 5 or 7 hours where the zone changes its offset.
        """
        first, last = self.local(start).date(), self.local(end).date() + timedelta(days=1)
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        hours = sorted({self._at(day, hour) for day in days for hour in (0, 6, 12, 18)})
        return hours[bisect_right(hours, start) - 1 : bisect_left(hours, end) + 1]

    def _at(self, day: date, hour: int = 0) -> datetime:
        return datetime(day.year, day.month, day.day, hour, tzinfo=self.info).astimezone(UTC)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the names of all zones that this machine knows."""
    return frozenset(available_timezones())


def find_zone(name: str | None) -> Zone | None:
    """Return the zone of this name, or None if there is none."""
    return Zone(name) if name and len(name) <= MAX_ZONE_NAME and name in zone_names() else None


def zone_problem(name: str) -> str:
    """Return why there is no zone of this name, and what to write instead."""
    if not name:
        return "The time zone is empty. Write a name such as Europe/Berlin or UTC."
    known = sorted(zone_names())
    cities = {each.rpartition("/")[2].casefold(): each for each in known}
    folded = cities | {each.casefold(): each for each in known}
    near = get_close_matches(name.casefold().replace(" ", "_"), folded, n=1, cutoff=0.75)
    meant = f"Did you mean {folded[near[0]]}?" if near else ""
    return f"There is no time zone {name!r}. {meant or 'Write a name such as Europe/Berlin or UTC.'}"


def ago(moment: datetime, now: datetime) -> str:
    """Return `3 minutes ago`, in whole units."""
    return age((now - moment).total_seconds())


def age(seconds: float) -> str:
    """Return `3 minutes ago`, in whole units."""
    whole = int(seconds)
    if whole < 0:
        return "in the future"
    return f"{lasting(whole)} ago" if whole else "now"


def lasting(seconds: float) -> str:
    """Return `3 minutes`, in whole units, and `0 seconds` for less than one."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        count = int(seconds) // size
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "0 seconds"
