"""Dates and moments: reading them from values and showing them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from evaluators.hog.runtime.date_text import read_text, zone_of
from evaluators.hog.runtime.errors import HogInputError
from evaluators.hog.runtime.values import HogDate, HogDateTime, Value
from evaluators.hog.stdlib.arguments import as_text, wrong_type

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A day inside the years 1 to 9999, so that a moment can be shown in any zone.
_EARLIEST_S = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH).total_seconds()
_LATEST_S = (datetime(9999, 12, 30, tzinfo=UTC) - EPOCH).total_seconds()


def zone(function: str, name: Value) -> str:
    """Return a time zone's name; null is UTC. HogInputError if there is no such zone."""
    if name is None:
        return "UTC"
    checked = as_text(function, "the time zone", name)
    zone_of(checked)
    return checked


def moment(epoch_s: float, zone_name: str = "UTC") -> HogDateTime:
    """Return a moment. HogInputError outside the years 1 to 9999."""
    if not _EARLIEST_S <= epoch_s <= _LATEST_S:
        raise HogInputError("Date out of range: the years are 1 to 9999")
    return HogDateTime(epoch_s, zone_name)


def local(value: HogDateTime) -> datetime:
    """Return the wall-clock time of a moment in its zone. HogInputError outside the years 1 to 9999."""
    return (EPOCH + timedelta(seconds=moment(value.epoch_s).epoch_s)).astimezone(zone_of(value.zone))


def from_local(value: datetime, zone_name: str) -> HogDateTime:
    """Return the moment of a wall-clock time in a zone; of two equal ones (clocks set back) the first."""
    try:
        return moment(_seconds(value.replace(tzinfo=zone_of(zone_name), fold=0)), zone_name)
    except OverflowError:
        raise HogInputError("Date out of range: the years are 1 to 9999") from None


def _seconds(value: datetime) -> float:
    """Seconds since 1970, whole ones as integers are: exact."""
    return (value - EPOCH).total_seconds()


def in_zone(function: str, value: HogDateTime, zone_name: Value) -> HogDateTime:
    """Return the same moment, shown in another zone."""
    return HogDateTime(value.epoch_s, zone(function, zone_name))


def read_moment(function: str, value: Value, zone_name: str = "UTC") -> HogDateTime:
    """Return the moment of a datetime, a date (its midnight) or a date-like text.

    HogTypeError for another type, HogInputError for a text that is not a date.
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
    """Return the moment of seconds since 1970. HogInputError if there is none."""
    try:
        return moment(float(value), zone_name)
    except OverflowError:
        raise HogInputError(f"{function}: the number is not a date") from None


def iso_date(value: HogDate) -> str:
    """`YYYY-MM-DD`."""
    return f"{value.year:04d}-{value.month:02d}-{value.day:02d}"


def iso_datetime(value: HogDateTime) -> str:
    """ISO 8601 with milliseconds, and `Z` in UTC."""
    shown = local(value).isoformat("T", "milliseconds")
    return shown.removesuffix("+00:00") + "Z" if value.zone == "UTC" else shown
