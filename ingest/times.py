"""Times of events: how they are written by clients, and the correction of a client's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec

FUTURE_LIMIT = timedelta(hours=23)
"""A time further ahead than this is a wrong clock, and `now` is nearer to the truth."""
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_MAX_CHARS = 64
_encode = msgspec.json.Encoder().encode
_WITH_FRACTION = len('"2026-01-01T00:00:00.000001Z"')
_MILLISECONDS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds: as seconds they would lie in the year 5138."""


def parse_time(value: str | float) -> datetime | None:
    """Return the aware UTC time that `value` names, or None if it names none between 1970 and 2199.

    Takes ISO-8601 (a time without a zone is UTC), a date, RFC 2822, and seconds or milliseconds since 1970 as a number
    or its text.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text or len(text) > _MAX_CHARS:
            return None
        moment = _from_text(text)
    else:
        moment = _from_epoch(float(value))
    if moment is None:
        return None
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def parse_rfc3339(text: str) -> datetime | None:
    """Return the aware UTC time of RFC 3339 text, which has a zone; None for anything else."""
    if len(text) > _MAX_CHARS or len(text) < len("2026-01-01T00:00:00Z") or text[10] not in "Tt ":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else parse_time(text)


def correct(moment: datetime | None, *, sent_at: datetime | None, now: datetime) -> datetime:
    """Return when the event happened by our clock.

    Args:
        moment: by the client's clock; None for a time that is missing or unreadable, which becomes `now`.
        sent_at: when the client sent it, by the same clock; None where the client's clock is to be believed.
    """
    if moment is None:
        return now
    try:
        corrected = moment if sent_at is None else moment - (sent_at - now)
    except OverflowError:
        return now
    if corrected - now > FUTURE_LIMIT or not _FIRST_YEAR <= corrected.year <= _LAST_YEAR:
        return now
    return corrected


def row_time(moment: datetime) -> str:
    """Return `YYYY-MM-DD HH:MM:SS.ffffff` of an aware UTC time."""
    text = str(_encode(moment), "ascii")  # isoformat takes ten times as long
    return f"{text[1:11]} {text[12:-2]}" if len(text) == _WITH_FRACTION else f"{text[1:11]} {text[12:20]}.000000"


def _from_text(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return _from_epoch(float(text))
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None


def _from_epoch(number: float) -> datetime | None:
    try:
        seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
