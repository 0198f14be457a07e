"""Reads the input of the calculator: every value is checked, and every error names the place.

A reader takes a value and the place where it stands, and returns what the value says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import NoReturn, TypeVar
from uuid import UUID

T = TypeVar("T")
W = TypeVar("W", bound=str)
Reader = Callable[[object, str], T]

MOST_VALUES = 1_000_000
"""Values of one list."""
LARGEST_COUNT = 10**15
"""Larger counts are no longer exact as floats."""
LARGEST_NUMBER = 1e100
"""Sums and squares of numbers up to it stay finite."""
_SHOWN = 60


class BadInput(ValueError):
    """The input contradicts itself or cannot be read. `place` is the path to the value, `problem` names the fault."""

    def __init__(self, place: str, problem: str) -> None:
        self.place = place
        self.problem = problem
        super().__init__(f"{place}: {problem}")


class Fields:
    """The fields of one JSON object, each of which is read by its name and a reader."""

    def __init__(self, value: object, place: str) -> None:
        self._values = mapping(value, place)
        self._place = place
        self._known: list[str] = []

    def read(self, name: str, reader: Reader[T]) -> T:
        """Return a field that must be there.

        Raises:
            BadInput: it is missing, or the reader refuses it.
        """
        self._known.append(name)
        if name not in self._values:
            self.refuse(name, "is missing")
        return reader(self._values[name], f"{self._place}.{name}")

    def read_or(self, name: str, reader: Reader[T], default: T) -> T:
        """Return a field, or the default if it is missing or null."""
        self._known.append(name)
        value = self._values.get(name)
        return default if value is None else reader(value, f"{self._place}.{name}")

    def has(self, name: str) -> bool:
        """Tell whether a field is there and not null."""
        return self._values.get(name) is not None

    def part(self, name: str, limit: int, whole: str) -> int:
        """Return a count that cannot exceed `limit`; `whole` says in words what that is."""
        found = self.read(name, count)
        if found > limit:
            self.refuse(name, f"{found} is more than {whole} ({limit})")
        return found

    def pairs(self, first: str, second: str, reader: Reader[T], at_most: int = MOST_VALUES) -> tuple[list[T], list[T]]:
        """Return two lists of the same length."""
        ours, theirs = (self.read(name, list_of(reader, at_most=at_most)) for name in (first, second))
        if len(ours) != len(theirs):
            self.refuse(second, f"has {len(theirs)} values, but {self._place}.{first} has {len(ours)}")
        return ours, theirs

    def refuse(self, name: str, problem: str) -> NoReturn:
        """Raise the error of one field."""
        raise BadInput(f"{self._place}.{name}", problem)

    def refuse_unknown(self) -> None:
        """Raise an error for a field that nobody has read, because a misspelt option must not be ignored."""
        for name in self._values:
            if name not in self._known:
                self.refuse(_clipped(name), f"is unknown; the fields are {', '.join(dict.fromkeys(self._known))}")


def mapping(value: object, place: str) -> Mapping[str, object]:
    """Read an object."""
    if not isinstance(value, Mapping):
        raise BadInput(place, f"must be an object, not {shown(value)}")
    return value


def number(value: object, place: str) -> float:
    """Read a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(place, f"must be a number, not {shown(value)}")
    if isinstance(value, float) and not isfinite(value):
        raise BadInput(place, f"must be a finite number, not {shown(value)}")
    if abs(value) > LARGEST_NUMBER:
        raise BadInput(place, f"must be at most {LARGEST_NUMBER:g} in size")
    return float(value)


def between(low: float, high: float) -> Reader[float]:
    """Return the reader of a number from `low` to `high`."""

    def read(value: object, place: str) -> float:
        found = number(value, place)
        if not low <= found <= high:
            raise BadInput(place, f"must be from {low:g} to {high:g}, not {shown(value)}")
        return found

    return read


share = between(0, 1)
"""Read a number from 0 to 1."""


def above_zero(value: object, place: str) -> float:
    """Read a number above 0."""
    found = number(value, place)
    if found <= 0:
        raise BadInput(place, f"must be above 0, not {shown(value)}")
    return found


def count(value: object, place: str) -> int:
    """Read a whole number of at least 0."""
    found = number(value, place)
    if found != int(found):
        raise BadInput(place, f"must be a whole number, not {shown(value)}")
    if not 0 <= found <= LARGEST_COUNT:
        raise BadInput(place, f"must be from 0 to {LARGEST_COUNT}, not {shown(value)}")
    return int(found)


def outcome(value: object, place: str) -> bool:
    """Read true or false, also written as 1 or 0."""
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise BadInput(place, f"must be true, false, 1 or 0, not {shown(value)}")
    return bool(value)


def text(value: object, place: str) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise BadInput(place, f"must be a text, not {shown(value)}")
    return value


def category(value: object, place: str) -> str:
    """Read a class (a text, a number, true or false) as a text that only equal classes share."""
    if isinstance(value, str):
        return f"text {value}"
    if isinstance(value, bool):
        return f"truth {value}"
    return f"number {number(value, place)}"


def uuid(value: object, place: str) -> str:
    """Read a UUID in its canonical form."""
    try:
        return str(UUID(text(value, place)))
    except ValueError as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(place, f"must be a UUID, not {shown(value)}") from None


def choice(*words: W) -> Reader[W]:
    """Return the reader of one of several words."""

    def read(value: object, place: str) -> W:
        for word in words:
            if value == word:
                return word
        raise BadInput(place, f"must be one of {', '.join(words)}, not {shown(value)}")

    return read


def or_gap(reader: Reader[T]) -> Reader[T | None]:
    """Return a reader that takes null for a gap."""

    def read(value: object, place: str) -> T | None:
        return None if value is None else reader(value, place)

    return read


def list_of(reader: Reader[T], at_least: int = 0, at_most: int = MOST_VALUES) -> Reader[list[T]]:
    """Return the reader of a list of `at_least` values or more, up to `at_most`."""

    def read(value: object, place: str) -> list[T]:
        if not isinstance(value, list | tuple):
            raise BadInput(place, f"must be a list, not {shown(value)}")
        if not at_least <= len(value) <= at_most:
            raise BadInput(place, f"must have from {at_least} to {at_most} values, not {len(value)}")
        return [reader(each, f"{place}[{at}]") for at, each in enumerate(value)]

    return read


def shown(value: object) -> str:
    """Return how an error shows a value: short, and for lists and objects only their kind."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{_clipped(value)}"'
    if isinstance(value, int | float):
        is_long = isinstance(value, int) and abs(value) > LARGEST_NUMBER
        return "a number of more than 100 digits" if is_long else repr(value)
    return "a list" if isinstance(value, list | tuple) else "an object"


def _clipped(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
