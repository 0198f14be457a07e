"""The one grammar of date-like texts, and the time zones that they may be in.

Time zones come from the `tzdata` package (or the host's copy of the same database), read once per zone: the only
data that Hog takes from outside, and the same everywhere. A name that is not in the database is refused before
anything is opened, so that no source can name a path.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from evaluators.hog.runtime.errors import HogInputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_TEXT = 64

_DATE_LIKE = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s?([Zz]|[+-]\d{2}(?::?\d{2})?)?)?\Z",
    re.ASCII,
)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo:
    """Return a time zone. HogInputError if there is none of that name."""
    if name == "UTC":
        return UTC
    if name not in _zone_names():
        raise HogInputError(f"Unknown time zone: {name[:80]}")
    return ZoneInfo(name)


def read_text(text: str, zone_name: str = "UTC") -> datetime | None:
    """Return the wall-clock time, with its zone, that a date-like text names; None if it is none.

    `YYYY-MM-DD`, then optionally `T` or a space, `HH:MM`, `:SS`, a fraction (kept to milliseconds) and `Z` or an
    offset. Without an offset it is a time in `zone_name`.
    """
    match = _DATE_LIKE.match(text.strip()) if len(text) <= _LONGEST_TEXT else None
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        found = datetime(  # noqa: DTZ001 - the zone is set below
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            int(fraction[:3].ljust(3, "0")) * 1000 if fraction else 0,
        )  # fmt: skip
        return found.replace(tzinfo=_offset(offset) if offset else zone_of(zone_name))
    except ValueError:  # 30 February, 25 o'clock, an offset of a day
        return None


def _offset(text: str) -> tzinfo:
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-distance if text[0] == "-" else distance)


def epoch_of_text(text: str) -> float | None:
    """Return the seconds since 1970 of a date-like text (in UTC if it names no zone), or None."""
    found = read_text(text)
    try:
        return None if found is None else (found - _EPOCH).total_seconds()
    except OverflowError:  # the first or the last day there is, moved out by its offset
        return None
