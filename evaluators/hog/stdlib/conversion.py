"""Conversions between types, and questions about null."""

from __future__ import annotations

from datetime import date

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.errors import HogTypeError
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.values import HogDate, HogDateTime, Value, number_of, type_name
from evaluators.hog.stdlib.arguments import shown
from evaluators.hog.stdlib.moments import in_zone, iso_date, iso_datetime, moment

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def to_string(ctx: Context, value: Value, zone: Value = None) -> str:
    """Return the text of a value: dates in ISO 8601 (in a zone, if one is given), null as `null`."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is HogDate:
        return iso_date(value)
    if kind is HogDateTime:
        return iso_datetime(value if zone is None else in_zone("toString", value, zone))
    return shown(ctx, value)


def to_int(value: Value) -> int | None:
    """Return a whole number, or null: floats cut off, texts that are one, booleans as 0 and 1.

    A date gives the days and a datetime the seconds since 1970.
    """
    kind = type(value)
    if kind is int:
        return int(value)
    if kind is str:
        number = number_of(value)
        return number if type(number) is int else None
    if kind is HogDateTime:
        return int(moment(value.epoch_s).epoch_s // 1)
    if kind is HogDate:
        return date(value.year, value.month, value.day).toordinal() - _EPOCH_DAY
    if kind is bool:
        return int(value)
    if kind is float and value - value == 0:  # neither NaN nor infinite
        return int(value)
    return None


def to_float(value: Value) -> float | None:
    """Return a float: numbers, numeric texts, booleans, dates as days and datetimes as seconds since 1970."""
    kind = type(value)
    if kind is float:
        return float(value)
    if kind is str:
        number: int | float | None = number_of(value)
    elif kind is HogDateTime:
        number = value.epoch_s
    elif kind is int or kind is bool:
        number = value
    else:
        number = to_int(value)
    try:
        return None if number is None else float(number)
    except OverflowError:
        return None


def if_null(value: Value, otherwise: Value) -> Value:
    """Return the value, or the other one if it is null."""
    return otherwise if value is None else value


def is_null(value: Value) -> bool:
    """Whether the value is null."""
    return value is None


def is_not_null(value: Value) -> bool:
    """Whether the value is not null."""
    return value is not None


def coalesce(*values: Value) -> Value:
    """Return the first value that is not null, else null."""
    return next((value for value in values if value is not None), None)


def assume_not_null(value: Value) -> Value:
    """Return the value. HogTypeError if it is null."""
    if value is None:
        raise HogTypeError("assumeNotNull got null")
    return value


def empty(value: Value) -> bool:
    """Whether it is null or has no characters, elements or keys. Numbers and booleans are never empty."""
    kind = type(value)
    if kind is str or kind is list or kind is dict or kind is tuple:
        return not value
    return value is None


def not_empty(value: Value) -> bool:
    """Whether it is not `empty`."""
    return not empty(value)


FUNCTIONS = {
    "toString": Function(to_string, 1, 2, needs_context=True),
    "toUUID": Function(to_string, 1, 1, needs_context=True),
    "toInt": Function(to_int, 1, 1, cheap=True),
    "toFloat": Function(to_float, 1, 1, cheap=True),
    "typeof": Function(type_name, 1, 1, cheap=True),
    "ifNull": Function(if_null, 2, 2, cheap=True),
    "isNull": Function(is_null, 1, 1, cheap=True),
    "isNotNull": Function(is_not_null, 1, 1, cheap=True),
    "coalesce": Function(coalesce, 1, None, cheap=True),
    "assumeNotNull": Function(assume_not_null, 1, 1, cheap=True),
    "empty": Function(empty, 1, 1, cheap=True),
    "notEmpty": Function(not_empty, 1, 1, cheap=True),
}
