"""The values of Hog, their names, and what walks over them may use.

null is None, booleans, integers, floats and strings are Python's own, an array is a list, a tuple a tuple,
an object a dict (in insertion order). Dates, intervals, errors and functions have the classes below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

MAX_DIGITS = 4000
"""Digits of an integer that the host converts in one go (its own limit is 4300)."""


@dataclass(frozen=True, slots=True)
class HogDate:
    """A calendar day. It compares with a datetime as midnight UTC."""

    year: int
    month: int
    day: int

    @property
    def epoch_s(self) -> float:
        """Seconds since 1970 of midnight UTC of this day."""
        return datetime(self.year, self.month, self.day, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class HogDateTime:
    """A moment, in seconds since 1970, shown in a zone (an IANA name)."""

    epoch_s: float
    zone: str = "UTC"

    def aware(self) -> datetime:
        """Return the moment in its zone. ValueError or OverflowError outside the years 1 to 9999."""
        return datetime.fromtimestamp(self.epoch_s, tz=UTC if self.zone == "UTC" else ZoneInfo(self.zone))


@dataclass(frozen=True, slots=True)
class HogInterval:
    """A span of time: a value and a unit of `second minute hour day week month quarter year`."""

    value: int | float
    unit: str


@dataclass(slots=True, eq=False)
class HogError:
    """A value that can be thrown. `type` is what `catch (e: Type)` looks at."""

    type: str
    message: str
    payload: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class HogFunction:
    """A function as a value.

    Attributes:
        name: as it was declared, `lambda` for a lambda.
        arity: the most arguments that it takes; None for any number.
        code: for a closure, takes the call depth and the arguments; for a library function, the context and
            the arguments.
        closure: whether Hog code made it.
    """

    name: str
    arity: int | None
    code: Callable[..., Any]
    closure: bool = True
    min_args: int = 0


class View(Mapping[str, Any]):
    """An object among the globals whose members are made when a program reads them along a constant path.

    It is not a Hog value: a program that reads the object itself gets a dict of all members.

    Args:
        builders: what makes each member of the `source`.
    """

    __slots__ = ("_builders", "_built", "_source")

    def __init__(self, builders: Mapping[str, Callable[[Any], Any]], source: Any) -> None:
        self._builders = builders
        self._source = source
        self._built: dict[str, Any] = {}

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a member, or the default if there is none of that name."""
        try:
            return self._built[key]
        except KeyError:
            build = self._builders.get(key)
            if build is None:
                return default
            value = self._built[key] = build(self._source)
            return value

    def __getitem__(self, key: str) -> Any:
        if key not in self._builders:
            raise KeyError(key)
        return self.get(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)


Value = Any
"""A Hog value. There is no closed type for it: containers hold any of them."""


def type_name(value: Value) -> str:
    """Return the name that `typeof` gives and that messages use."""
    return _TYPE_NAMES.get(type(value), "unknown")


_TYPE_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "float",
    str: "string",
    list: "array",
    tuple: "tuple",
    dict: "object",
    HogDate: "date",
    HogDateTime: "datetime",
    HogInterval: "interval",
    HogError: "error",
    HogFunction: "function",
}

# --------------------------------------------------------------------------------------------------- walks


def text_bytes(length: int, *sources: str) -> int:
    """Return the bytes that a text of `length` characters taken from `sources` may need."""
    return length if all(map(str.isascii, sources)) else 4 * length


# -------------------------------------------------------------------------------------------------- numbers

_NUMERIC = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*\Z", re.ASCII)
_INTEGER = re.compile(r"\s*[+-]?\d+\s*\Z", re.ASCII)
MAX_NUMERIC = 4000
"""Characters of a string that is looked at as a number; a longer one is not numeric."""


def number_of(value: str) -> int | float | None:
    """Return the number that a numeric string stands for (decimal, exponent, spaces around), or None."""
    if len(value) > MAX_NUMERIC or not _NUMERIC.match(value):
        return None
    return int(value) if _INTEGER.match(value) else float(value)


def integer_of(digits: str) -> int:
    """Return the integer that decimal digits (at most a sign before them) stand for, of any size."""
    if len(digits) <= MAX_DIGITS:
        return int(digits)
    negative, body = digits[0] == "-", digits.lstrip("+-")
    value = 0
    for at in range(0, len(body), MAX_DIGITS):
        part = body[at : at + MAX_DIGITS]
        value = value * 10 ** len(part) + int(part)
    return -value if negative else value


def is_number(value: Value) -> bool:
    """Whether it is an integer or a float; a boolean is not."""
    return type(value) is int or type(value) is float
