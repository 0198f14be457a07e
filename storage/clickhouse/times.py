"""Times as ClickHouse writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(moment: datetime) -> str:
    """Return an aware time in UTC as `YYYY-MM-DD HH:MM:SS.ffffff`, the form of an event's `timestamp`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
