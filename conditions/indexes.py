"""Indexes over the filters of one field: from a value to the condition sets that it leaves standing.

A group of condition sets is a mask: a whole number with one bit for each set. An index answers, for the
value of a field, with the mask of the sets that still can hold; sets that have no filter in the index
always can. The AND of all answers is the sets whose indexed filters hold, so an event costs a few
look-ups, whatever the number of filters behind them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Literal, Protocol

from conditions.values import number_of

BoundKind = Literal["gt", "gte", "lt", "lte", "ne"]


class Index(Protocol):
    """An index over filters of one field; `standing` takes a value that is present."""

    def standing(self, x: Any) -> int:
        """Return the mask of the sets that the value does not rule out."""


class EqualityIndex:
    """Filters `exact`, at most one for each set, or `is_not`, any number.

    Only values that are no list and no object are indexed; see `indexable`.
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

    The distinct bounds cut the domain into points and gaps; the answer for each is worked out beforehand,
    so that a look-up is one binary search.
    """

    def __init__(self, bounds: list[tuple[Any, BoundKind, int]]) -> None:
        self._points = sorted({point for point, _, _ in bounds})
        place = {point: index for index, point in enumerate(self._points)}
        regions = 2 * len(self._points) + 1  # gap 0, point 0, gap 1, point 1, …
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
        self._broken = [a | b | c for a, b, c in zip(floors, ceilings, exceptions, strict=True)]

    def broken(self, point: Any) -> int:
        """Return the mask of the sets of which a bound does not hold at `point`."""
        place = bisect_left(self._points, point)
        at_point = place < len(self._points) and self._points[place] == point
        return self._broken[2 * place + at_point]


class OrderIndex:
    """Filters `gt`, `gte`, `lt`, `lte` and `between`, of one value each."""

    def __init__(self, everything: int, bounds: list[tuple[object, BoundKind, int]]) -> None:
        self._everything = everything
        numeric: list[tuple[Any, BoundKind, int]] = []
        text: list[tuple[Any, BoundKind, int]] = []
        plain_text: list[tuple[Any, BoundKind, int]] = []
        self._users = self._of_numbers = self._of_plain = 0
        for value, kind, users in bounds:
            number = number_of(value)
            self._users |= users
            if number is not None:
                numeric.append((number, kind, users))
            else:
                self._of_plain |= users
            if isinstance(value, str):
                text.append((value, kind, users))
                if number is None:
                    plain_text.append((value, kind, users))
            else:
                self._of_numbers |= users
        self._numeric, self._text, self._plain_text = BoundTable(numeric), BoundTable(text), BoundTable(plain_text)

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


class ParsedIndex:
    """Filters that read the value as a point of some other order: an instant, or a version."""

    def __init__(
        self, everything: int, bounds: list[tuple[Any, BoundKind, int]], parse: Callable[[object], Any | None]
    ) -> None:
        self._everything = everything
        self._parse = parse
        self._table = BoundTable(bounds)
        self._unless_unreadable = everything
        for _, kind, users in bounds:
            if kind != "ne":
                self._unless_unreadable &= ~users

    def standing(self, x: Any) -> int:
        """See `Index`. What cannot be read satisfies only `ne`."""
        point = self._parse(x)
        if point is None:
            return self._unless_unreadable
        return self._everything & ~self._table.broken(point)
