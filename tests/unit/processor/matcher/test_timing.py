"""Timestamps that are odd against the arrival of their events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from conditions import EventRow
from processor.events.message import record_time_ms
from processor.matcher.timing import EventTimes
from tests.services.records import Record

ARRIVED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def row(timestamp: str | None) -> EventRow:
    return EventRow(uuid="u", event="$ai_generation", team_id=1, distinct_id="d", properties="{}", timestamp=timestamp)


def usual(offset: timedelta) -> str:
    return (ARRIVED + offset).strftime("%Y-%m-%d %H:%M:%S.%f")


def odd(*stamps: str | None) -> list[str]:
    times = EventTimes()
    times.arrive(int(ARRIVED.timestamp() * 1000))
    return [*times.odd([row(stamp) for stamp in stamps])]


@pytest.mark.parametrize(
    ("stamp", "found"),
    [
        (usual(timedelta()), []),
        (usual(-timedelta(minutes=59)), []),
        (usual(-timedelta(minutes=61)), ["late"]),
        (usual(timedelta(minutes=4)), []),
        (usual(timedelta(minutes=6)), ["future"]),
        ("2026-03-01T11:59:00Z", []),  # the form of ISO-8601 sorts behind the usual one and is parsed
        ("2026-03-01T10:00:00+00:00", ["late"]),
        ("2026-03-01T13:00:00.5+00:30", ["future"]),
        ("9999-12-31 23:59:59.999999", ["future"]),
        ("0001-01-01 00:00:00.000000", ["late"]),
        ("no time at all", []),
        (None, []),
        ("", []),
    ],
)
def test_a_timestamp_is_held_against_the_arrival(stamp: str | None, found: list[str]) -> None:
    assert odd(stamp) == found


def test_an_event_long_before_an_earlier_one_is_out_of_order() -> None:
    times = EventTimes()
    times.arrive(int(ARRIVED.timestamp() * 1000))
    assert times.odd([row(usual(timedelta()))]) == []
    behind = [row(usual(-timedelta(seconds=seconds))) for seconds in (30, 59, 61, 300)]
    assert times.odd(behind) == ["out_of_order", "out_of_order"]
    times.arrive(int(ARRIVED.timestamp() * 1000))  # another partition
    assert times.odd([row(usual(-timedelta(seconds=300)))]) == []


@pytest.mark.parametrize("arrived_ms", [-(2**63), -1, 0, 253_402_300_799_999, 1_780_000_000_000_000, 2**63 - 1])
def test_a_record_may_have_any_time(arrived_ms: int) -> None:
    """A producer that sends microseconds is wrong, but its records must not end the role."""
    times = EventTimes()
    times.arrive(record_time_ms(Record(b"{}", time_ms=arrived_ms)))
    assert times.odd([row(usual(timedelta()))]) == (["late"] if arrived_ms > 0 else ["future"])
