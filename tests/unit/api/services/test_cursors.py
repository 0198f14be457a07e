"""Cursors come back as they were given; any other text is refused."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import pytest

from api.http.errors import Invalid
from api.services.cursors import read_cursor, to_cursor
from storage.clickhouse.query import PageEnd


def test_a_cursor_names_its_row() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert read_cursor(to_cursor(moment, "u")) == PageEnd(moment, "u")
    assert read_cursor("") is None


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:59|u", "9999-12-31T23:59:59-23:59|u", "1969-12-31|u", "2200-01-01|u", "x|u", ""]
)
def test_a_time_outside_of_the_calendar_is_refused(text: str) -> None:
    """At the ends of the calendar a time cannot be turned into UTC, and the answer was 500."""
    with pytest.raises(Invalid):
        read_cursor(urlsafe_b64encode(text.encode()).decode() or "=")
