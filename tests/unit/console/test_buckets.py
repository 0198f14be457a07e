"""Stretches of time on charts: cut in the reader's zone, also where a day has 23 or 25 hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.buckets import Buckets, buckets_of
from console.times import Zone
from console.visit import Period

SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Africa/Cairo", "Australia/Lord_Howe")


def week(around: datetime, zone: str) -> Buckets:
    return buckets_of(Period("", around - timedelta(days=3), around + timedelta(days=4)), Zone(zone))


@pytest.mark.parametrize(("day", "lengths"), [(SPRING, {5, 6}), (AUTUMN, {6, 7})])
def test_quarters_of_a_week_begin_at_the_same_local_hours_where_the_clock_changes(
    day: datetime, lengths: set[int]
) -> None:
    found = week(day, "Europe/Berlin")
    assert {found.zone.local(edge).hour for edge in found.edges} == {0, 6, 12, 18}
    assert {(two - one) // timedelta(hours=1) for one, two in pairwise(found.edges)} == lengths
    assert len(found.ticks()) == 8, "each local midnight has its label"


@pytest.mark.parametrize(("day", "lengths"), [(SPRING, {23, 24}), (AUTUMN, {24, 25})])
def test_days_of_a_month_begin_at_local_midnight(day: datetime, lengths: set[int]) -> None:
    period = Period("", day - timedelta(days=14), day + timedelta(days=16))
    found = buckets_of(period, Zone("Europe/Berlin"))
    assert {found.zone.local(edge).hour for edge in found.edges} == {0}
    assert {(two - one) // timedelta(hours=1) for one, two in pairwise(found.edges)} == lengths


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_a_day_of_23_or_25_hours_has_as_many_stretches(day: datetime) -> None:
    zone = Zone("Europe/Berlin")
    [(start, end)] = zone.days(day + timedelta(hours=12), day + timedelta(hours=13))
    found = buckets_of(Period("", start, end), zone)
    assert len(found) == (end - start) // timedelta(hours=1) == (23 if day == SPRING else 25)


@given(
    zone=st.sampled_from(ZONES),
    minutes=st.integers(0, 2 * 366 * 24 * 60),
    hours=st.integers(1, 24 * 40),
)
def test_stretches_follow_each_other_and_cover_the_period(zone: str, minutes: int, hours: int) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    period = Period("", start, start + timedelta(hours=hours))
    found = buckets_of(period, Zone(zone))
    assert all(one < two for one, two in pairwise(found.edges))
    assert found.edges[0] <= period.start < found.edges[1]
    assert found.edges[-2] < period.end <= found.edges[-1]
