"""Indexes over the filters of one field: from a value to the condition sets that it leaves standing.

A group of condition sets is a mask: a whole number with one bit for each set. An index answers, for the
value of a field, with the mask of the sets that still can hold; sets that have no filter in the index
always can. The AND of all answers is the sets whose indexed filters hold, so an event costs a few
look-ups, whatever the number of filters behind them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from math import inf, nextafter
from typing import Any, Literal, NamedTuple, Protocol

from conditions.dates import DAY, instant_of, resolve_at_midnight
from conditions.values import number_of

BoundKind = Literal["gt", "gte", "lt", "lte", "ne"]
Bound = tuple[Any, BoundKind, int]
"""A point, on which side of it the value must lie, and the mask of the sets that demand it."""

_MOST_DAYS = 16
_MOST_DATES = 1024
_LONGEST_DATE = 40  # characters
_EXACT_LIMIT = 2**52


class Index(Protocol):
    """An index over filters of one field; `standing` takes a value that is present."""

    def standing(self, x: Any) -> int:
        """Return the mask of the sets that the value does not rule out."""


class NumberIndex(Index, Protocol):
    """An index that says the same of all numbers between two neighbours among `numbers`."""

    def numbers(self) -> Iterable[int | float]:
        """Return the numbers that its filters name."""

    def standing_below(self, number: int | float) -> int:
        """Return what `standing` says of numbers below `number` and above the next lower of `numbers`."""


class EqualityIndex:
    """Filters `exact`, at most one for each set, or `is_not`, any number.

    Lists and objects are not indexed; see `indexable`.
    """

    def __init__(self, everything: int, *, negative: bool) -> None:
        self._everything = everything
        self._negative = negative
        self.users = 0
        self._by_text: dict[str, int] = {}  # a text, to filters with that text or that boolean
        self._by_number: dict[int | float, int] = {}  # a number, to filters with a number or a numeric text
        self._by_numeric_text: dict[int | float, int] = {}  # a text that reads as a number, to filters with a number
        self._by_truth = {True: 0, False: 0}

    def add(self, value: object, users: int) -> None:
        """Index one value of a filter for the sets that have the filter."""
        self.users |= users
        if isinstance(value, bool):
            self._by_truth[value] |= users
            _add(self._by_text, "true" if value else "false", users)
            return
        number = number_of(value)
        if number is not None:
            _add(self._by_number, number, users)
        if isinstance(value, str):
            _add(self._by_text, value, users)
            if value in ("true", "false"):
                self._by_truth[value == "true"] |= users
        elif number is not None:
            _add(self._by_numeric_text, number, users)

    def standing(self, x: Any) -> int:
        """See `Index`."""
        hits = self._hits(x)
        if self._negative:
            return self._everything & ~hits
        return self._everything & ~self.users | hits

    def numbers(self) -> Iterable[int | float]:
        """See `NumberIndex`."""
        return self._by_number

    def standing_below(self, number: int | float) -> int:  # equal to no named number, wherever it is
        """See `NumberIndex`."""
        return self._everything if self._negative else self._everything & ~self.users

    def _hits(self, x: Any) -> int:
        kind = type(x)
        if kind is str:
            hits = self._by_text.get(x, 0)
            if self._by_numeric_text:
                number = number_of(x)
                if number is not None:
                    hits |= self._by_numeric_text.get(number, 0)
            return hits
        if kind is bool:
            return self._by_truth[x]
        if kind is int or kind is float:
            return self._by_number.get(x, 0)
        return 0


def indexable(value: object) -> bool:
    """Tell whether `EqualityIndex` can hold a value: lists and objects are compared one by one."""
    return not isinstance(value, list | tuple | dict)


def orderable(value: object) -> bool:
    """Tell whether `OrderIndex` can hold a value: a text or a finite number."""
    return isinstance(value, str) or number_of(value) is not None


def _add(masks: dict[Any, int], key: Any, users: int) -> None:
    masks[key] = masks.get(key, 0) | users


class BoundTable:
    """Bounds on one ordered domain: which sets does a point break the bounds of.

    The distinct bounds cut the domain into points and the stretches between them; the answer for each is
    worked out beforehand, so that a look-up is one binary search.

    Args:
        gaps: pairs of points between which a value must not lie, and the mask of the sets that demand it;
            a set demands at most one.
    """

    def __init__(self, bounds: list[Bound], gaps: Sequence[tuple[Any, Any, int]] = ()) -> None:
        self._points = sorted({bound[0] for bound in bounds} | {point for gap in gaps for point in gap[:2]})
        place = {point: index for index, point in enumerate(self._points)}
        regions = 2 * len(self._points) + 1  # below, point 0, between, point 1, …
        floors, ceilings, exceptions = [0] * regions, [0] * regions, [0] * regions
        for point, kind, users in bounds:
            region = 2 * place[point] + 1
            if kind == "ne":
                exceptions[region] |= users
            elif kind in ("gt", "gte"):  # broken in this region and in all below
                floors[region if kind == "gt" else region - 1] |= users
            else:  # broken in this region and in all above
                ceilings[region if kind == "lt" else region + 1] |= users
        for region in range(regions - 2, -1, -1):
            floors[region] |= floors[region + 1]
        for region in range(1, regions):
            ceilings[region] |= ceilings[region - 1]
        entered, unfinished = [0] * regions, [0] * regions
        for low, high, users in gaps:
            entered[2 * place[low] + 1] |= users
            unfinished[2 * place[high] + 1] |= users
        for region in range(1, regions):
            entered[region] |= entered[region - 1]
        for region in range(regions - 2, -1, -1):
            unfinished[region] |= unfinished[region + 1]
        self._broken = [
            floors[region] | ceilings[region] | exceptions[region] | entered[region] & unfinished[region]
            for region in range(regions)
        ]

    def broken(self, point: Any) -> int:
        """Return the mask of the sets of which a bound does not hold at `point`."""
        place = bisect_left(self._points, point)
        at_point = place < len(self._points) and self._points[place] == point
        return self._broken[2 * place + at_point]

    @property
    def points(self) -> list[Any]:
        """The distinct bounds, in order."""
        return self._points

    def broken_below(self, point: Any) -> int:
        """Return what `broken` says between `point` and the next lower of `points`."""
        return self._broken[2 * bisect_left(self._points, point)]


class OrderIndex:
    """Filters `gt`, `gte`, `lt`, `lte` and `between`, of one value each, and `not_between`.

    Args:
        gaps: of the `not_between` filters; see `BoundTable` and `is_gap`.
    """

    def __init__(self, everything: int, bounds: list[Bound], gaps: Sequence[tuple[Any, Any, int]]) -> None:
        self._everything = everything
        self._users = self._of_numbers = self._of_plain = 0
        for value, users in [(bound[0], bound[2]) for bound in bounds] + [(gap[0], gap[2]) for gap in gaps]:
            self._users |= users
            if number_of(value) is None:
                self._of_plain |= users
            if not isinstance(value, str):
                self._of_numbers |= users
        self._numeric = BoundTable(
            [(number_of(v), kind, users) for v, kind, users in bounds if number_of(v) is not None],
            [(number_of(low), number_of(high), users) for low, high, users in gaps if number_of(low) is not None],
        )
        self._text = BoundTable(
            [bound for bound in bounds if isinstance(bound[0], str)], [gap for gap in gaps if isinstance(gap[0], str)]
        )
        self._plain_text = BoundTable(
            [bound for bound in bounds if number_of(bound[0]) is None],
            [gap for gap in gaps if number_of(gap[0]) is None],
        )

    def standing(self, x: Any) -> int:
        """See `Index`. Two numbers compare as numbers, else two strings as strings, else nothing holds."""
        number = number_of(x)
        if number is not None:
            broken = self._numeric.broken(number)
            if self._of_plain:
                broken |= self._plain_text.broken(x) if isinstance(x, str) else self._of_plain
        elif isinstance(x, str):
            broken = self._text.broken(x) | self._of_numbers
        else:
            broken = self._users
        return self._everything & ~broken

    def numbers(self) -> Iterable[int | float]:
        """See `NumberIndex`."""
        return self._numeric.points

    def standing_below(self, number: int | float) -> int:
        """See `NumberIndex`."""
        return self._everything & ~(self._numeric.broken_below(number) | self._of_plain)


def number_table(present: int, indexes: Sequence[NumberIndex]) -> tuple[list[float], list[int]] | None:
    """Return what several indexes of a field say together of every number: one binary search for them all.

    Returns:
        `points` and `masks`, so that `masks[bisect_right(points, x)]` is the mask of the sets that x leaves
        standing; infinity counts as no number. None if a filter names a number so large that whole numbers
        and floats beside it are not told apart.
    """
    named = sorted({number for index in indexes for number in index.numbers()} | {inf})
    if any(abs(number) >= _EXACT_LIMIT for number in named[:-1]):
        return None
    points: list[float] = []
    masks: list[int] = []
    for number in named:
        below = at = present
        for index in indexes:
            below &= index.standing_below(number)
            at &= index.standing(number)
        # No JSON number lies between a number and the next float, where "at" ends.
        points += [number, nextafter(number, inf)]
        masks += [below, at]
    return points, [*masks, masks[-1]]


def is_gap(low: object, high: object) -> bool:
    """Tell whether `OrderIndex` can hold the bounds of a `not_between`: two of the same kind."""
    both_text = isinstance(low, str) is isinstance(high, str)
    return both_text and (number_of(low) is None) is (number_of(high) is None)


class ParsedIndex:
    """Filters that read the value as a point of some other order: an instant, or a version."""

    def __init__(self, everything: int, bounds: list[Bound], parse: Callable[[object], Any | None]) -> None:
        self._everything = everything
        self._parse = parse
        self._table = BoundTable(bounds)
        self._unless_unreadable = everything
        for _, kind, users in bounds:
            if kind != "ne":
                self._unless_unreadable &= ~users

    def standing(self, x: Any) -> int:
        """See `Index`. A value that cannot be read satisfies only `ne`."""
        point = self._parse(x)
        if point is None:
            return self._unless_unreadable
        return self._everything & ~self._table.broken(point)


class RelativeDateIndex:
    """Filters `is_date_*` with a date relative to the event's own time, one each.

    All such dates move on together during a day, so a day's table serves every event of that day; and most
    values lie on the same side of all of them from its midnight to the next.
    """

    def __init__(self, everything: int, bounds: list[tuple[str, BoundKind, int]]) -> None:
        self._bounds = bounds
        self._days: dict[int, _Day] = {}
        self.users = 0
        for _, _, users in bounds:
            self.users |= users
        self._everything = everything
        self._without_dates = everything & ~self.users

    def standing(self, x: Any, when: tuple[int, int] | None) -> int:
        """Return the mask of the sets that the value does not rule out.

        Args:
            when: `day_and_time` of the event.
        """
        if when is None:
            return self._without_dates
        date, time = when
        day = self._days.get(date) or self._make_day(date)
        if type(x) is str:
            mask = day.known.get(x)
            if mask is not None:
                return mask
        instant = instant_of(x)
        if instant is None:
            return self._without_dates
        region = bisect_right(day.points, instant - time)
        lasts = region == bisect_right(day.points, instant) == bisect_right(day.points, instant - DAY + 1)
        if lasts and type(x) is str and len(x) <= _LONGEST_DATE and len(day.known) < _MOST_DATES:
            day.known[x] = day.masks[region]
        return day.masks[region]

    def _make_day(self, date: int) -> _Day:
        if len(self._days) >= _MOST_DAYS:  # a replay crosses many days, a stream one
            self._days.clear()
        midnight = date * DAY
        bounds = BoundTable(
            [(resolve_at_midnight(value, midnight), kind, users) for value, kind, users in self._bounds]
        )
        points = [point + after for point in bounds.points for after in (0, 1)]
        broken = [bounds.broken_below(bounds.points[0]), *map(bounds.broken, points)]
        day = self._days[date] = _Day(points, [self._everything & ~mask for mask in broken], {})
        return day


class _Day(NamedTuple):
    """The table of one day. `masks[bisect_right(points, instant)]` holds the sets that stand at midnight; `known` holds
    the masks already worked out for times of that day."""

    points: list[int]
    masks: list[int]
    known: dict[str, int]
