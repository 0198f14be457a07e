"""Relative dates through the hours of a day and over many days: what a matcher remembers of one event fits the next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

from conditions import EventRow, Target, compile_matcher, parse_conditions
from conditions.interpreter import RowFields, interpret

TARGETS = [
    Target(
        f"{operator} {value}",
        parse_conditions([{"id": "s", "properties": [{"key": "day", "operator": operator, "value": value}]}]),
    )
    for operator, value in product(
        ("is_date_exact", "is_date_before", "is_date_after"), ("-1d", "-25h", "-30M", "-1m", "-1q", "-1y", "-1w")
    )
]
NOON = datetime(2024, 3, 31, 12, tzinfo=UTC)


def assert_as_interpreted(times: list[datetime], values: list[object]) -> None:
    matcher = compile_matcher(TARGETS)
    for time, value in product(times, values):
        row = EventRow("event-1", 1, timestamp=f"{time:%Y-%m-%d %H:%M:%S.%f}", properties={"day": value})
        expected = [n for n, target in enumerate(TARGETS) if interpret(target, RowFields(row)).outcome == "matched"]
        assert [n for n, _ in matcher.match(row).matched] == expected, (time, value)


def test_one_value_at_all_hours_of_a_day() -> None:
    """A value that lay behind a bound in the morning may lie before it at night, and the other way about."""
    hours = [NOON.replace(hour=hour, minute=minute) for hour in (10, 0, 23, 14, 12) for minute in (0, 59)]
    back = [timedelta(hours=n) for n in (0, 1, 12, 23, 24, 25, 36, 48, 24 * 7, 24 * 31, 24 * 91, 24 * 366)]
    values: list[object] = [f"{NOON - each:%Y-%m-%dT%H:%M:%S}" for each in back]
    assert_as_interpreted(hours, [*values, "2024-03-30", "nonsense", 1711800000, None])


def test_many_days_and_back_again() -> None:
    """A replay crosses more days than are remembered."""
    days = [NOON - timedelta(days=n) for n in (*range(40), *range(40))]
    assert_as_interpreted(days, ["2024-03-01", "2024-03-30T12:00:00Z", "2024-02-29"])
