"""When a scheduled report is due: a daily or weekly rule at one time of day in its time zone.

Only these rules are read, because anything richer can fire every second or search for ever for a day that never comes:

    FREQ=DAILY
    FREQ=WEEKLY;BYDAY=MO,WE,FR

The time of day is that of `starts_at` in the report's zone, so a report stays at 09:00 when the clocks change. A time
that a spring change skips is taken an hour later, and a time that an autumn change repeats is taken once, the first
time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from dateutil.rrule import DAILY, FR, MO, SA, SU, TH, TU, WE, WEEKLY, rrule

MAX_RULE_CHARS = 200
_DAYS = {"MO": MO, "TU": TU, "WE": WE, "TH": TH, "FR": FR, "SA": SA, "SU": SU}
_FORMS = "write FREQ=DAILY or FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU (with the days that you want)"
_LOOK_BACK = timedelta(days=9)
"""Longer than a week and a change of the clocks: an occurrence always lies within it."""


class RuleRefused(ValueError):
    """The rule is not one that a report can follow. The message says which are."""


class UnknownZone(ValueError):
    """There is no such time zone."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A rule with its first moment.

    Attributes:
        days: names of weekdays; empty for every day.
        starts_at: the first moment that may be an occurrence, aware; its time of day is that of all.
    """

    days: tuple[str, ...]
    starts_at: datetime
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime:
        """Return the first occurrence that is later than `moment` and not before `starts_at`, in UTC."""
        earliest = max(moment, self.starts_at - timedelta(microseconds=1))
        return next(found for found in self._around(earliest) if found > earliest)

    def latest_until(self, moment: datetime) -> datetime:
        """Return the last occurrence at or before `moment`, in UTC, even if it is before `starts_at`."""
        latest = None
        for found in self._around(moment):
            if found > moment:
                break
            latest = found
        return latest if latest is not None else moment

    def _around(self, moment: datetime) -> list[datetime]:
        """Return the occurrences from a week and more before `moment` to a week and more after it."""
        local_start = self.starts_at.astimezone(self.zone)
        first_day = (moment - _LOOK_BACK).astimezone(self.zone).date()
        # The rule counts local days without a zone. It starts near `moment`, however long ago `starts_at` was.
        first = datetime.combine(first_day, local_start.time())
        rule = rrule(
            WEEKLY if self.days else DAILY,
            dtstart=first,
            until=first + 2 * _LOOK_BACK,
            byweekday=[_DAYS[day] for day in self.days] or None,
        )
        return [each.replace(tzinfo=self.zone, fold=0).astimezone(UTC) for each in rule]


def read_schedule(rule: str, starts_at: datetime, timezone_name: str) -> Schedule:
    """Return the schedule of a report. It counts in seconds, so fractions of `starts_at` are dropped.

    Raises:
        RuleRefused: `rule` is none of the forms above.
        UnknownZone: there is no such time zone.
    """
    return Schedule(_days(rule), starts_at.replace(microsecond=0), read_zone(timezone_name))


def read_zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name. Raises `UnknownZone`."""
    if name not in _zones():
        raise UnknownZone(f"There is no time zone {name[:64]!r}; write a name such as Europe/Berlin or UTC.")
    return ZoneInfo(name)


@cache
def _zones() -> frozenset[str]:
    # Some systems also list their own zone, under a name that means another zone on another machine.
    return frozenset(available_timezones() - {"localtime"})


def _days(rule: str) -> tuple[str, ...]:
    if len(rule) > MAX_RULE_CHARS:
        raise RuleRefused(f"The rule has more than {MAX_RULE_CHARS} characters; {_FORMS}.")
    parts = rule.strip().removeprefix("RRULE:").removesuffix(";").split(";")
    fields = dict(part.partition("=")[::2] for part in parts)
    if len(fields) != len(parts):
        raise RuleRefused(f"The rule names a part twice; {_FORMS}.")
    if fields == {"FREQ": "DAILY"}:
        return ()
    if fields.get("FREQ") == "WEEKLY" and set(fields) == {"FREQ", "BYDAY"}:
        days = tuple(dict.fromkeys(fields["BYDAY"].split(",")))
        if set(days) <= set(_DAYS):
            return days
    raise RuleRefused(f"Reports do not follow this rule; {_FORMS}.")
