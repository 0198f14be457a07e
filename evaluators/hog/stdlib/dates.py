"""Functions of dates. Date-like texts are taken wherever a date is; null in, null out.

Seconds, minutes and hours are spans of time; days and more move the calendar, in the zone of the moment.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.date_text import read_text
from evaluators.hog.runtime.errors import HogInputError
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.values import HogDate, HogDateTime, HogInterval, Value
from evaluators.hog.stdlib.arguments import as_integer, as_number, as_text
from evaluators.hog.stdlib.date_format import format_date_time
from evaluators.hog.stdlib.moments import (
    EPOCH,
    from_local,
    in_zone,
    local,
    midnight,
    moment,
    read_moment,
    read_number,
    zone,
)

_SPANS_S = {"second": 1, "minute": 60, "hour": 3600}
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_PARTS: dict[str, Callable[[datetime], int]] = {
    "year": lambda at: at.year,
    "quarter": lambda at: (at.month + 2) // 3,
    "month": lambda at: at.month,
    "week": lambda at: at.isocalendar().week,
    "day": lambda at: at.day,
    "hour": lambda at: at.hour,
    "minute": lambda at: at.minute,
    "second": lambda at: at.second,
}
_UNITS = ", ".join([*_SPANS_S, *_DAYS, *_MONTHS])
_MOST = 10**12
"""More than any unit of time between the years 1 and 9999."""


def now(ctx: Context, zone_name: Value = None) -> HogDateTime:
    """Return the event's own time, so that a replay decides alike."""
    return moment((ctx.now - EPOCH).total_seconds(), zone("now", zone_name))


def today(ctx: Context) -> HogDate:
    """Return the day of the event, in UTC."""
    return _day_of(now(ctx))


def to_date(value: Value) -> HogDate | None:
    """Return the day of a datetime, a text or a number of seconds since 1970; null if a text names none."""
    if value is None or type(value) is HogDate:
        return value
    if type(value) is str:
        found = read_text(value)
        return None if found is None else HogDate(found.year, found.month, found.day)
    if type(value) is int or type(value) is float:
        return _day_of(read_number("toDate", value))
    return _day_of(read_moment("toDate", value))


def _day_of(value: HogDateTime) -> HogDate:
    there = local(value)
    return HogDate(there.year, there.month, there.day)


def to_date_time(value: Value, zone_name: Value = None) -> HogDateTime | None:
    """Return the moment of a date, a text or a number of seconds since 1970; null if a text names none."""
    if value is None:
        return None
    if type(value) is HogDateTime:
        return value if zone_name is None else in_zone("toDateTime", value, zone_name)
    where = zone("toDateTime", zone_name)
    if type(value) is int or type(value) is float:
        return read_number("toDateTime", value, where)
    if type(value) is str and read_text(value, where) is None:
        return None
    return read_moment("toDateTime", value, where)


def to_unix_timestamp(value: Value, zone_name: Value = None) -> int | float | None:
    """Return the seconds since 1970."""
    if value is None:
        return None
    seconds = read_moment("toUnixTimestamp", value, zone("toUnixTimestamp", zone_name)).epoch_s
    return int(seconds) if seconds == seconds // 1 else seconds


def to_unix_timestamp_milli(value: Value, zone_name: Value = None) -> int | None:
    """Return the milliseconds since 1970."""
    if value is None:
        return None
    seconds = read_moment("toUnixTimestampMilli", value, zone("toUnixTimestampMilli", zone_name)).epoch_s
    # Through the decimal text: 1.001 * 1000 as floats is 1000.9999…
    return int(Decimal(repr(seconds)) * 1000 // 1)


def from_unix_timestamp(value: Value) -> HogDateTime | None:
    """Return the moment of seconds since 1970, in UTC."""
    return None if value is None else read_number("fromUnixTimestamp", as_number("fromUnixTimestamp", value))


def from_unix_timestamp_milli(value: Value) -> HogDateTime | None:
    """Return the moment of milliseconds since 1970, in UTC."""
    if value is None:
        return None
    number = as_number("fromUnixTimestampMilli", value)
    return read_number("fromUnixTimestampMilli", number / 1000 if -_MOST * 1000 < number < _MOST * 1000 else number)


def to_time_zone(value: Value, zone_name: Value) -> HogDateTime | None:
    """Return the same moment, shown in another zone."""
    return None if value is None else in_zone("toTimeZone", read_moment("toTimeZone", value), zone_name)


def _unit(function: str, value: Value) -> str:
    """Return the unit's name in small letters, singular. HogInputError if it is none."""
    name = as_text(function, "the unit", value)[:40].lower()
    singular = name.removesuffix("s")
    if singular in _SPANS_S or singular in _DAYS or singular in _MONTHS:
        return singular
    raise HogInputError(f"{function}: unknown unit '{name[:40]}'; use one of {_UNITS}")


def shift(function: str, value: Value, amount: int | float, unit: str) -> HogDate | HogDateTime:
    """Move a date or a moment by an amount of a unit. A day that its new month lacks becomes the month's last."""
    is_day = type(value) is HogDate
    start = read_moment(function, value)
    if not -_MOST < amount < _MOST:
        raise HogInputError(f"{function}: the result is out of range: the years are 1 to 9999")
    if unit in _SPANS_S:
        moved = moment(start.epoch_s + amount * _SPANS_S[unit], start.zone)
    else:
        count = as_integer(function, "the amount", amount)
        moved = from_local(_moved(function, local(start), count, unit), start.zone)
    return _day_of(moved) if is_day else moved


def _moved(function: str, there: datetime, count: int, unit: str) -> datetime:
    try:
        if unit in _DAYS:
            return there.replace(tzinfo=None) + timedelta(days=count * _DAYS[unit])
        months = there.year * 12 + there.month - 1 + count * _MONTHS[unit]
        year, month = months // 12, months % 12 + 1
        return there.replace(tzinfo=None, year=year, month=month, day=min(there.day, monthrange(year, month)[1]))
    except (ValueError, OverflowError):
        raise HogInputError(f"{function}: the result is out of range: the years are 1 to 9999") from None


def date_add(unit: Value, amount: Value, value: Value) -> Value:
    """Return a date or a moment moved by an amount of a unit."""
    name = _unit("dateAdd", unit)
    return None if value is None or amount is None else shift("dateAdd", value, as_number("dateAdd", amount), name)


def add_days(value: Value, days: Value) -> Value:
    """Return a date or a moment moved by days."""
    return None if value is None or days is None else shift("addDays", value, as_number("addDays", days), "day")


def date_diff(unit: Value, start: Value, end: Value) -> int | None:
    """Return how many whole units lie between two dates; months, quarters and years count by the calendar."""
    name = _unit("dateDiff", unit)
    if start is None or end is None:
        return None
    first, last = read_moment("dateDiff", start), read_moment("dateDiff", end)
    if name in _MONTHS:
        a, b = local(first), local(last)
        size = _MONTHS[name]
        return (b.year * 12 + b.month - 1) // size - (a.year * 12 + a.month - 1) // size
    seconds = _SPANS_S.get(name) or 86400 * _DAYS[name]
    return int((last.epoch_s - first.epoch_s) // seconds)


def date_trunc(unit: Value, value: Value, zone_name: Value = None) -> HogDateTime | None:
    """Return the moment at which the unit (second to year) around a date began; weeks begin on Monday."""
    return _truncate("dateTrunc", _unit("dateTrunc", unit), value, zone_name)


def _truncate(function: str, unit: str, value: Value, zone_name: Value) -> HogDateTime | None:
    if value is None:
        return None
    at = read_moment(function, value)
    if zone_name is not None:
        at = midnight(value, zone(function, zone_name)) if type(value) is HogDate else in_zone(function, at, zone_name)
    if unit in _SPANS_S and unit != "hour":
        return moment(at.epoch_s // _SPANS_S[unit] * _SPANS_S[unit], at.zone)
    there = local(at)
    if unit == "hour":
        # By subtraction, which keeps to the right one of two equal hours when clocks are set back.
        return moment((at.epoch_s - there.minute * 60 - there.second - there.microsecond / 1e6) // 1, at.zone)
    there = there.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "week":
        there = _moved(function, there, -there.weekday(), "day")
    elif unit in _MONTHS:
        there = there.replace(day=1, month=there.month - (there.month - 1) % _MONTHS[unit])
    return from_local(there, at.zone)


def to_start_of_day(value: Value, zone_name: Value = None) -> HogDateTime | None:
    """Return the midnight before a date."""
    return _truncate("toStartOfDay", "day", value, zone_name)


def to_start_of_hour(value: Value) -> HogDateTime | None:
    """Return the full hour before a date."""
    return _truncate("toStartOfHour", "hour", value, None)


def to_start_of_week(value: Value, zone_name: Value = None) -> HogDateTime | None:
    """Return the Monday of a date's week, at midnight. A number, ClickHouse's mode, is not looked at."""
    return _truncate("toStartOfWeek", "week", value, None if type(zone_name) is int else zone_name)


def to_start_of_month(value: Value) -> HogDateTime | None:
    """Return the first day of a date's month, at midnight."""
    return _truncate("toStartOfMonth", "month", value, None)


def extract(part: Value, value: Value) -> int | None:
    """Return the year, quarter, month, ISO week, day, hour, minute or second of a date, in its zone."""
    name = _unit("extract", part)
    if value is None:
        return None
    there = local(read_moment("extract", value))
    return _PARTS[name](there)


def to_year(value: Value) -> int | None:
    """Return the year."""
    return None if value is None else local(read_moment("toYear", value)).year


def to_month(value: Value) -> int | None:
    """Return the month, 1 to 12."""
    return None if value is None else local(read_moment("toMonth", value)).month


def to_yyyymm(value: Value) -> int | None:
    """Return year and month as one number: 202405."""
    if value is None:
        return None
    there = local(read_moment("toYYYYMM", value))
    return there.year * 100 + there.month


def to_interval_day(value: Value) -> HogInterval:
    """Return a span of days."""
    return HogInterval(as_number("toIntervalDay", value), "day")


def to_interval_hour(value: Value) -> HogInterval:
    """Return a span of hours."""
    return HogInterval(as_number("toIntervalHour", value), "hour")


def to_interval_minute(value: Value) -> HogInterval:
    """Return a span of minutes."""
    return HogInterval(as_number("toIntervalMinute", value), "minute")


def to_interval_month(value: Value) -> HogInterval:
    """Return a span of months."""
    return HogInterval(as_number("toIntervalMonth", value), "month")


FUNCTIONS = {
    "now": Function(now, 0, 1, needs_context=True, cheap=True, constant=False),
    "today": Function(today, 0, 0, needs_context=True, cheap=True, constant=False),
    "toDate": Function(to_date, 1, 1, cheap=True),
    "toDateTime": Function(to_date_time, 1, 2, cheap=True),
    "toUnixTimestamp": Function(to_unix_timestamp, 1, 2, cheap=True),
    "toUnixTimestampMilli": Function(to_unix_timestamp_milli, 1, 2, cheap=True),
    "fromUnixTimestamp": Function(from_unix_timestamp, 1, 1, cheap=True),
    "fromUnixTimestampMilli": Function(from_unix_timestamp_milli, 1, 1, cheap=True),
    "toTimeZone": Function(to_time_zone, 2, 2, cheap=True),
    "formatDateTime": Function(format_date_time, 2, 3, needs_context=True),
    "dateAdd": Function(date_add, 3, 3, cheap=True),
    "dateDiff": Function(date_diff, 3, 3, cheap=True),
    "dateTrunc": Function(date_trunc, 2, 3, cheap=True),
    "addDays": Function(add_days, 2, 2, cheap=True),
    "toIntervalDay": Function(to_interval_day, 1, 1, cheap=True),
    "toIntervalHour": Function(to_interval_hour, 1, 1, cheap=True),
    "toIntervalMinute": Function(to_interval_minute, 1, 1, cheap=True),
    "toIntervalMonth": Function(to_interval_month, 1, 1, cheap=True),
    "toYear": Function(to_year, 1, 1, cheap=True),
    "toMonth": Function(to_month, 1, 1, cheap=True),
    "toYYYYMM": Function(to_yyyymm, 1, 1, cheap=True),
    "toStartOfDay": Function(to_start_of_day, 1, 2, cheap=True),
    "toStartOfHour": Function(to_start_of_hour, 1, 1, cheap=True),
    "toStartOfWeek": Function(to_start_of_week, 1, 2, cheap=True),
    "toStartOfMonth": Function(to_start_of_month, 1, 1, cheap=True),
    "extract": Function(extract, 2, 2, cheap=True),
}
