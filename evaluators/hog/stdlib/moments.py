"""Dates and moments: reading them from values, showing them, and time zones.

Time zones come from the `tzdata` package (or the host's copy of the same database), read once per zone: the only
data that the library takes from outside, and the same everywhere. A name that is not in the database is refused
before anything is opened, so that no source can name a path.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from evaluators.hog.errors import HogInputError
from evaluators.hog.stdlib.arguments import as_text, wrong_type
from evaluators.hog.values import HogDate, HogDateTime, Value

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A day inside the years 1 to 9999, so that a moment can be shown in any zone.
_EARLIEST_S = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH).total_seconds()
_LATEST_S = (datetime(9999, 12, 30, tzinfo=UTC) - EPOCH).total_seconds()
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
def _zone_of(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if name not in _zone_names():
        raise HogInputError(f"Unknown time zone: {name[:80]}")
    return ZoneInfo(name)


def zone(function: str, name: Value) -> str:
    """Return a time zone's name; null is UTC. HogInputError if there is no such zone."""
    if name is None:
        return "UTC"
    checked = as_text(function, "the time zone", name)
    _zone_of(checked)
    return checked


def moment(epoch_s: float, zone_name: str = "UTC") -> HogDateTime:
    """Return a moment. HogInputError outside the years 1 to 9999."""
    if not _EARLIEST_S <= epoch_s <= _LATEST_S:
        raise HogInputError("Date out of range: the years are 1 to 9999")
    return HogDateTime(epoch_s, zone_name)


def local(value: HogDateTime) -> datetime:
    """Return the wall-clock time of a moment in its zone. HogInputError outside the years 1 to 9999."""
    return (EPOCH + timedelta(seconds=moment(value.epoch_s).epoch_s)).astimezone(_zone_of(value.zone))


def from_local(value: datetime, zone_name: str) -> HogDateTime:
    """Return the moment of a wall-clock time in a zone; of two equal ones (clocks set back) the first."""
    try:
        return moment(_seconds(value.replace(tzinfo=_zone_of(zone_name), fold=0)), zone_name)
    except OverflowError:
        raise HogInputError("Date out of range: the years are 1 to 9999") from None


def _seconds(value: datetime) -> float:
    """Seconds since 1970, whole ones as integers are: exact."""
    return (value - EPOCH).total_seconds()


def in_zone(function: str, value: HogDateTime, zone_name: Value) -> HogDateTime:
    """Return the same moment, shown in another zone."""
    return HogDateTime(value.epoch_s, zone(function, zone_name))


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
        return found.replace(tzinfo=_offset(offset) if offset else _zone_of(zone_name))
    except ValueError:  # 30 February, 25 o'clock, an offset of a day
        return None


def _offset(text: str) -> tzinfo:
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-distance if text[0] == "-" else distance)


def read_moment(function: str, value: Value, zone_name: str = "UTC") -> HogDateTime:
    """Return the moment of a datetime, a date (its midnight) or a date-like text.

    HogTypeError for another type, HogInputError for a text that is no date.
    """
    kind = type(value)
    if kind is HogDateTime:
        return moment(value.epoch_s, value.zone)
    if kind is HogDate:
        return midnight(value, zone_name)
    if kind is str:
        found = read_text(value, zone_name)
        if found is None:
            raise HogInputError(f"{function} needs a date, got the text '{value[:40]}'")
        return _of_datetime(found, zone_name)
    raise wrong_type(function, "a date", value)


def midnight(value: HogDate, zone_name: str = "UTC") -> HogDateTime:
    """Return the moment at which a day begins in a zone."""
    return from_local(datetime(value.year, value.month, value.day), zone_name)  # noqa: DTZ001 - from_local sets it


def _of_datetime(value: datetime, zone_name: str) -> HogDateTime:
    try:
        return moment(_seconds(value), zone_name)
    except OverflowError:
        raise HogInputError("Date out of range: the years are 1 to 9999") from None


def read_number(function: str, value: int | float, zone_name: str = "UTC") -> HogDateTime:
    """Return the moment of seconds since 1970. HogInputError if it is none."""
    try:
        return moment(float(value), zone_name)
    except OverflowError:
        raise HogInputError(f"{function}: the number is no date") from None


def iso_date(value: HogDate) -> str:
    """`YYYY-MM-DD`."""
    return f"{value.year:04d}-{value.month:02d}-{value.day:02d}"


def iso_datetime(value: HogDateTime) -> str:
    """ISO 8601 with milliseconds, and `Z` in UTC."""
    shown = local(value).isoformat("T", "milliseconds")
    return shown.removesuffix("+00:00") + "Z" if value.zone == "UTC" else shown
