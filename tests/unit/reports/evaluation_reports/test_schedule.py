"""When a scheduled report is due, across changes of the clocks, and which rules are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.evaluation_reports.schedule import RuleRefused, UnknownZone, read_schedule, read_zone

BERLIN = ZoneInfo("Europe/Berlin")


def local(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN).astimezone(UTC)


def occurrences(rule: str, starts_at: datetime, after: datetime, count: int) -> list[datetime]:
    schedule = read_schedule(rule, starts_at, "Europe/Berlin")
    found: list[datetime] = []
    for _ in range(count):
        after = schedule.next_after(after)
        found.append(after)
    return found


def test_a_daily_report_stays_at_its_time_of_day_when_the_clocks_change() -> None:
    start = local(2026, 3, 1, 9, 0)
    found = occurrences("FREQ=DAILY", start, local(2026, 3, 27, 12, 0), 3)
    assert found == [local(2026, 3, 28, 9, 0), local(2026, 3, 29, 9, 0), local(2026, 3, 30, 9, 0)]
    assert [each.hour for each in found] == [8, 7, 7]


def test_a_time_that_the_spring_change_skips_is_taken_an_hour_later_and_no_day_is_lost() -> None:
    found = occurrences("FREQ=DAILY", local(2026, 3, 1, 2, 30), local(2026, 3, 28, 1, 0), 3)
    assert [each.astimezone(BERLIN).strftime("%d %H:%M") for each in found] == ["28 02:30", "29 03:30", "30 02:30"]


def test_a_time_that_the_autumn_change_repeats_is_taken_once() -> None:
    found = occurrences("FREQ=DAILY", local(2026, 10, 1, 2, 30), local(2026, 10, 24, 12, 0), 2)
    assert [each.isoformat() for each in found] == ["2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"]


def test_a_weekly_report_comes_on_its_days() -> None:
    found = occurrences("FREQ=WEEKLY;BYDAY=MO,TH", local(2026, 1, 1, 9, 0), local(2026, 1, 1, 9, 0), 3)
    assert [each.astimezone(BERLIN).strftime("%a %d %H") for each in found] == ["Mon 05 09", "Thu 08 09", "Mon 12 09"]


def test_nothing_is_due_before_the_start_and_the_start_itself_is() -> None:
    schedule = read_schedule("FREQ=DAILY", local(2026, 5, 1, 9, 0), "Europe/Berlin")
    assert schedule.next_after(local(2020, 1, 1, 0, 0)) == local(2026, 5, 1, 9, 0)


def test_a_start_long_ago_takes_no_longer() -> None:
    schedule = read_schedule("FREQ=DAILY", datetime(1970, 1, 2, 9, tzinfo=UTC), "UTC")
    assert schedule.next_after(datetime(2199, 1, 1, tzinfo=UTC)) == datetime(2199, 1, 1, 9, tzinfo=UTC)


@given(
    st.integers(0, 100 * 365 * 86_400).map(lambda s: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=s)),
    st.sampled_from(["America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]),
    st.sets(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])),
)
def test_next_and_latest_agree(moment: datetime, zone: str, days: set[str]) -> None:
    """The next occurrence after any moment is later; it is its own latest one; nothing lies between."""
    rule = f"FREQ=WEEKLY;BYDAY={','.join(sorted(days))}" if days else "FREQ=DAILY"
    schedule = read_schedule(rule, datetime(1999, 12, 1, 2, 30, tzinfo=UTC), zone)
    following = schedule.next_after(moment)
    assert moment < following <= moment + timedelta(days=9)
    assert schedule.latest_until(following) == following
    assert schedule.latest_until(following - timedelta(microseconds=1)) <= moment


@pytest.mark.parametrize(
    "rule",
    [
        "", "string", "FREQ=SECONDLY", "FREQ=MINUTELY;INTERVAL=1", "FREQ=HOURLY", "FREQ=DAILY;BYHOUR=1,2,3",
        "FREQ=DAILY;BYSECOND=0,1,2,3", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;UNTIL=19700101T000000Z", "FREQ=WEEKLY", "FREQ=WEEKLY;BYDAY=", "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=WEEKLY;BYDAY=1MO", "FREQ=WEEKLY;BYDAY=MO;BYDAY=TU", "FREQ=DAILY\nFREQ=SECONDLY", "freq=daily",
        "FREQ=DAILY;FREQ=SECONDLY", "RRULE:RRULE:FREQ=DAILY", "FREQ=DAILY;" * 100, "X" * 100_000,
    ],
)  # fmt: skip
def test_any_other_rule_is_refused_with_the_rules_that_there_are(rule: str) -> None:
    with pytest.raises(RuleRefused, match="FREQ=DAILY or FREQ=WEEKLY"):
        read_schedule(rule, datetime(2026, 1, 1, tzinfo=UTC), "UTC")


@pytest.mark.parametrize(
    "zone", ["", "localtime", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "UTC\x00", "x" * 10_000]
)
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(UnknownZone, match="There is no time zone"):
        read_zone(zone)


def test_fractions_of_a_second_in_the_start_do_not_cost_the_first_report() -> None:
    start = datetime(2026, 3, 2, 9, 0, 0, 123_000, tzinfo=UTC)
    schedule = read_schedule("FREQ=DAILY", start, "UTC")
    first = schedule.next_after(start - timedelta(hours=1))
    assert first == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert schedule.latest_until(first - timedelta(microseconds=1)) == datetime(2026, 3, 1, 9, tzinfo=UTC)
