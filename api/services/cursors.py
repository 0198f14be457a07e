"""Cursors of lists that are paged by time and id: opaque to whoever carries one."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

from api.http.errors import Invalid
from api.schemas.parts import in_calendar
from storage.clickhouse.query import PageEnd


def to_cursor(timestamp: datetime, uuid: str) -> str:
    """Return the cursor of the page that begins behind a row. A time without a zone is UTC."""
    moment = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    return urlsafe_b64encode(f"{moment.astimezone(UTC).isoformat()}|{uuid}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> PageEnd | None:
    """Return the row behind which a page begins, or None for an empty cursor. Raises `Invalid`."""
    if not cursor:
        return None
    try:
        moment, _, uuid = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
        found = in_calendar(datetime.fromisoformat(moment))
    except ValueError as error:
        raise Invalid("The cursor is not one of a page of this list.", attr="cursor") from error
    return PageEnd(found, uuid)
