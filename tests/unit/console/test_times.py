"""Times of readers: zones, offsets, and days of 23 and 25 hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from console.times import Zone, ago, find_zone, lasting

NOON = datetime(2026, 11, 28, 5, 3, 11, tzinfo=UTC)


def test_a_time_reads_with_its_offset() -> None:
    assert Zone("Asia/Tokyo").text(NOON) == "2026-11-28 14:03:11 +09:00"
    assert Zone("America/St_Johns").text(NOON) == "2026-11-28 01:33:11 -03:30"
    assert str(Zone("UTC").element(NOON)) == '<time datetime="2026-11-28T05:03:11Z">2026-11-28 05:03:11 +00:00</time>'


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_has_the_hours_that_its_zone_gives_it(day: str, hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    [(start, end)] = Zone("Europe/Berlin").days(noon, noon + timedelta(hours=1))
    assert end - start == timedelta(hours=hours)


def test_days_cover_a_stretch_without_gaps() -> None:
    start = datetime(2026, 10, 20, 7, tzinfo=UTC)
    days = list(Zone("Europe/Berlin").days(start, start + timedelta(days=10)))
    assert len(days) == 11
    assert all(one[1] == two[0] for one, two in pairwise(days))


@pytest.mark.parametrize("name", ["", None, "Mars/Base", "../../etc/passwd", "UTC\n", "A" * 5000])
def test_an_unknown_zone_is_none(name: str | None) -> None:
    assert find_zone(name) is None


def test_a_zone_is_found_by_its_name() -> None:
    assert find_zone("Europe/Berlin") == Zone("Europe/Berlin")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (-0.5, "now"), (59.9, "59 seconds ago"), (59, "59 seconds ago"), (61, "1 minute ago"),
     (7200, "2 hours ago"), (90000, "1 day ago"), (-5, "in the future")],
)  # fmt: skip
def test_relative_times_are_in_whole_units(seconds: float, text: str) -> None:
    assert ago(NOON - timedelta(seconds=seconds), NOON) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 seconds"), (-3, "0 seconds"), (95, "1 minute"), (7200, "2 hours")]
)
def test_a_length_of_time_is_in_whole_units(seconds: float, text: str) -> None:
    assert lasting(seconds) == text
