"""Dates as the `is_date_*` operators read them: instants, counted in microseconds since 1970 (UTC)."""

from __future__ import annotations

import math
import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta

_RELATIVE = re.compile(r"-([0-9]{1,9})([hdwmyMsq])", re.ASCII)
_CLOCK_UNITS_S = {"s": 1, "M": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MONTHS = {"m": 1, "q": 3, "y": 12}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # to be subtracted from date-times that mean UTC and do not say so
_MICROSECOND = timedelta(microseconds=1)
_FIRST_MIDNIGHT = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

DAY = 86_400_000_000
"""Microseconds."""


def instant_of(value: object) -> int | None:
    """Return the instant that `value` names, or None.

    A string is an ISO date (its midnight), or a date-time with `T` or a space between; UTC unless it has an
    offset. A number is epoch seconds; a numeric string or a boolean is not a date.
    """
    if isinstance(value, str):
        since = _since_epoch(value)
        return None if since is None else since.days * DAY + since.seconds * 1_000_000 + since.microseconds
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value * 1_000_000
    microseconds = value * 1_000_000
    return round(microseconds) if math.isfinite(microseconds) else None


def _since_epoch(text: str) -> timedelta | None:
    # fromisoformat also reads 20240101 and 2024-W01-1, and takes any character for the T.
    if len(text) < 10 or text[4] != "-" or text[7] != "-" or (len(text) > 10 and text[10] not in "T t"):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment - (_NAIVE_EPOCH if moment.tzinfo is None else _EPOCH)


def day_and_time(timestamp: str | None) -> tuple[int, int] | None:
    """Return the UTC day of an event, counted from 1970-01-01, and the microseconds since its midnight.

    None if the event has no time that can be read.
    """
    since = _since_epoch(timestamp) if timestamp is not None else None
    return (since.days, since.seconds * 1_000_000 + since.microseconds) if since is not None else None


def is_relative(value: object) -> bool:
    """Tell whether a filter's value is a relative date such as `-7d`."""
    return isinstance(value, str) and _RELATIVE.fullmatch(value) is not None


def resolve(value: object, now: int | None) -> int | None:
    """Return the instant of a filter's value; a relative one counts back from `now`, the event's own time.

    None if the value is not a date, or is relative while the event has no time. Months, quarters and years keep
    the day of the month, or take the month's last day where it is shorter.
    """
    match = _RELATIVE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return instant_of(value)
    if now is None:
        return None
    time_of_day = now % DAY
    return _shift(now - time_of_day, int(match[1]), match[2]) + time_of_day


def resolve_at_midnight(value: str, midnight: int) -> int:
    """Return the instant of a relative date for an event at `midnight`.

    For an event later on that day it is later by as much.
    """
    match = _RELATIVE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not a relative date")
    return _shift(midnight, int(match[1]), match[2])


def _shift(midnight: int, count: int, unit: str) -> int:
    if unit in _CLOCK_UNITS_S:
        return midnight - count * _CLOCK_UNITS_S[unit] * 1_000_000
    moment = _EPOCH + timedelta(microseconds=midnight)
    index = moment.year * 12 + moment.month - 1 - count * _MONTHS[unit]
    if index < 12:
        return _FIRST_MIDNIGHT
    year, month = divmod(index, 12)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return (moment.replace(year=year, month=month + 1, day=day) - _EPOCH) // _MICROSECOND
