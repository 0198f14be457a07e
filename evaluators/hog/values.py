"""The values of Hog and how they are named, compared, ordered and shown as text.

null is None, booleans, integers, floats and strings are Python's own, an array is a list, a tuple a tuple,
an object a dict (in insertion order). Dates, intervals, errors and functions have the classes below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from evaluators.hog.errors import HogDepthExceeded, HogMemoryExceeded, HogTypeError

MAX_NESTING = 400
"""Levels of containers within containers that are compared, copied or shown."""

MAX_DIGITS = 4000
"""Digits of an integer that the host converts in one go (its own limit is 4300)."""

MAX_TEXT_BITS = 256 * 1024
"""Bits of an integer that can be shown: the time that it takes grows with their square."""

_CHUNK = 10**MAX_DIGITS


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

# ---------------------------------------------------------------------------------------------------- text

_ESCAPES = {
    "\b": "\\b",
    "\f": "\\f",
    "\r": "\\r",
    "\n": "\\n",
    "\t": "\\t",
    "\0": "\\0",
    "\a": "\\a",
    "\v": "\\v",
    "\\": "\\\\",
    "'": "\\'",
}
_ESCAPE_TABLE = str.maketrans(_ESCAPES)
_PLAIN_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


def quote(text: str) -> str:
    """Return the text as a Hog string literal."""
    return "'" + text.translate(_ESCAPE_TABLE) + "'"


def integer_text(value: int) -> str:
    """Return the decimal digits of an integer of any size (the host alone refuses more than 4300)."""
    if -_CHUNK < value < _CHUNK:
        return str(value)
    if value.bit_length() > MAX_TEXT_BITS:
        raise HogMemoryExceeded(MAX_TEXT_BITS // 8, f"Integer of more than {MAX_TEXT_BITS} bits can not be shown")
    sign, rest, parts = ("-" if value < 0 else ""), abs(value), []
    while rest:
        rest, low = divmod(rest, _CHUNK)
        parts.append(str(low).rjust(MAX_DIGITS, "0") if rest else str(low))
    return sign + "".join(reversed(parts))


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


def float_text(value: float) -> str:
    """Return a float with its `.0`, or `nan`, `inf`, `-inf`."""
    return repr(value)


def show(value: Value) -> str:
    """Return the print form: strings quoted, floats with their `.0`, a cycle as `null`."""
    return _show(value, [], [0])


MAX_SHOWN = 64 * 1024 * 1024
"""Characters that the text of one value may have."""


def _show(value: Value, path: list[int], shown: list[int]) -> str:
    """Show one value. `path`: ids of the containers around it; `shown`: the characters shown so far."""
    kind = type(value)
    if kind is str:
        shown[0] += len(value)
        return quote(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return integer_text(value)
    if kind is float:
        return float_text(value)
    if kind is HogError:
        payload = f", {_enter(value, value.payload, path, shown)}" if value.payload is not None else ""
        return f"{value.type}({quote(value.message)}{payload})"
    if kind in (list, tuple, dict):
        return _show_container(value, path, shown)
    return _show_special(value)


def _enter(container: Value, inner: Value, path: list[int], shown: list[int]) -> str:
    """Show `inner`, which is within `container`."""
    if id(container) in path:
        return "null"
    path.append(id(container))
    text = _show(inner, path, shown)
    path.pop()
    return text


def _show_container(value: Value, path: list[int], shown: list[int]) -> str:
    if id(value) in path:
        return "null"
    if len(path) >= MAX_NESTING:
        raise HogDepthExceeded(f"Value is nested more than {MAX_NESTING} levels deep")
    if shown[0] > MAX_SHOWN:
        raise HogDepthExceeded("Value is too large to be shown")
    shown[0] += 2 * len(value) + 2
    path.append(id(value))
    if type(value) is dict:
        text = "{" + ", ".join([f"{_show(k, path, shown)}: {_show(v, path, shown)}" for k, v in value.items()]) + "}"
    else:
        before, after = ("[", "]") if type(value) is list else ("(", ")") if len(value) > 1 else ("tuple(", ")")
        text = before + ", ".join([_show(v, path, shown) for v in value]) + after
    path.pop()
    return text


def _show_special(value: Value) -> str:
    if isinstance(value, HogDate):
        return f"Date({value.year}, {value.month}, {value.day})"
    if isinstance(value, HogDateTime):
        return f"DateTime({float_text(float(value.epoch_s))}, {quote(value.zone)})"
    if isinstance(value, HogInterval):
        return f"Interval({_show(value.value, [], [0])}, {quote(value.unit)})"
    if isinstance(value, HogFunction):
        name = value.name if _PLAIN_NAME.match(value.name) else "`" + value.name.replace("`", "``") + "`"
        return f"fn<{name}({'...' if value.arity is None else value.arity})>"
    raise HogTypeError(f"Not a Hog value: {type(value).__name__}")


def print_text(value: Value) -> str:
    """Return what `print` writes: a string raw, anything else in its print form."""
    return value if type(value) is str else show(value)


def text(value: Value) -> str:
    """Return what `||`, templates and `concat` make of a value: null is `''`."""
    if type(value) is str:
        return value
    return "" if value is None else show(value)


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


def is_number(value: Value) -> bool:
    """Whether it is an integer or a float; a boolean is not."""
    return type(value) is int or type(value) is float


# ---------------------------------------------------------------------------------------------------- dates

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_MAX_DATE_TEXT = 40


def epoch_of_text(value: str) -> float | None:
    """Return the seconds since 1970 of a date-like string (ISO 8601; UTC if it names no zone), or None."""
    candidate = value.strip()
    if not 10 <= len(candidate) <= _MAX_DATE_TEXT or not candidate[:4].isdigit():
        return None
    try:
        if _DATE.match(candidate):
            day = date.fromisoformat(candidate)
            return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        moment = datetime.fromisoformat(candidate)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


# ------------------------------------------------------------------------------------------------- equality


def coerce(left: Value, right: Value) -> tuple[Value, Value]:
    """Bring two values to one type as `==` and `<` do: booleans, numeric strings, date-like strings."""
    a, b = type(left), type(right)
    if a is bool:
        if b is str:
            return (left, right == "true") if right in ("true", "false") else (left, right)
        return (int(left), right) if b is int or b is float else (left, right)
    if b is bool:
        second, first = coerce(right, left)
        return first, second
    if a is str:
        if b is int or b is float:
            number = number_of(left)
            return (left if number is None else number), right
        if b is HogDate or b is HogDateTime:
            epoch = epoch_of_text(left)
            return (left, right) if epoch is None else (epoch, right.epoch_s)
        return left, right
    if b is str:
        second, first = coerce(right, left)
        return first, second
    if (a is HogDate or a is HogDateTime) and (b is HogDate or b is HogDateTime):
        return left.epoch_s, right.epoch_s
    return left, right


def equal(left: Value, right: Value) -> bool:
    """`==`: coerces, then compares by value. Null equals only null."""
    a, b = type(left), type(right)
    if a is b and (a is str or a is int or a is float):
        return bool(left == right)
    if left is None or right is None:
        return left is right
    return same(*coerce(left, right))


def same(left: Value, right: Value, level: int = 0) -> bool:
    """Equality by value without coercion: what `in`, `has` and `indexOf` use, and `==` within containers.

    1 and 1.0 are the same; true and 1 are not; an array and a tuple are not.
    """
    a, b = type(left), type(right)
    if a is not b:
        if (a is int or a is float) and (b is int or b is float):
            return bool(left == right)
        if (a is HogDate or a is HogDateTime) and (b is HogDate or b is HogDateTime):
            return bool(left.epoch_s == right.epoch_s)
        return False
    if a is list or a is tuple or a is dict:
        return left is right or _same_container(left, right, level)
    if a is HogError:
        return left is right or (
            (left.type == right.type and left.message == right.message) and same(left.payload, right.payload, level + 1)
        )
    if a is HogDateTime:
        return bool(left.epoch_s == right.epoch_s)
    if a is HogFunction:
        return bool(left is right or left.code is right.code)
    return bool(left == right)


def _same_container(left: Value, right: Value, level: int) -> bool:
    if level >= MAX_NESTING:
        raise HogDepthExceeded(f"Value is nested more than {MAX_NESTING} levels deep")
    if len(left) != len(right):
        return False
    if type(left) is dict:
        return all(k in right and same(v, right[k], level + 1) for k, v in left.items())
    return all(same(x, y, level + 1) for x, y in zip(left, right, strict=True))


def contains(item: Value, container: Value) -> bool:
    """`item in container`: an element of an array or tuple, a key of an object, a substring of a string."""
    kind = type(container)
    if kind is list or kind is tuple:
        if type(item) is str:
            return item in container
        return any(same(item, element) for element in container)
    if kind is str:
        if type(item) is str:
            return item in container
        raise HogTypeError(f"'in' needs a string on its left when a string is on its right, got {type_name(item)}")
    if kind is dict:
        return hash_key(item) in container
    raise HogTypeError(f"'in' needs an array, a tuple, an object or a string on its right, got {type_name(container)}")


def hash_key(key: Value) -> Value:
    """Return the key if an object can have it (null, boolean, number, string, date, tuples of these)."""
    kind = type(key)
    if kind is str or kind is int or key is None or kind is bool or kind is float:
        return key
    if kind is HogDate or kind is HogDateTime or kind is HogInterval:
        return key
    if kind is tuple:
        for part in key:
            hash_key(part)
        return key
    raise HogTypeError(f"{type_name(key)} can not be a key of an object")


# ---------------------------------------------------------------------------------------------------- order


def compare(left: Value, right: Value) -> int | None:
    """Return -1, 0 or 1 after coercion; None if either is null or a NaN.

    Arrays compare with arrays and tuples with tuples element by element. HogTypeError otherwise.
    """
    return _compare(left, right, 0)


def _compare(left: Value, right: Value, level: int) -> int | None:
    if left is None or right is None:
        return None
    first, second = coerce(left, right)
    a, b = type(first), type(second)
    if a is b and (a is str or a is bool):
        return int(first > second) - int(first < second)
    if (a is int or a is float) and (b is int or b is float):
        if first != first or second != second:
            return None
        return int(first > second) - int(first < second)
    if a is b and (a is list or a is tuple):
        if level >= MAX_NESTING:
            raise HogDepthExceeded(f"Value is nested more than {MAX_NESTING} levels deep")
        for x, y in zip(first, second, strict=False):
            order = _compare(x, y, level + 1)
            if order != 0:
                return order
        return (len(first) > len(second)) - (len(first) < len(second))
    raise HogTypeError(f"Can not compare {type_name(left)} with {type_name(right)}")


# --------------------------------------------------------------------------------------------------- copies


def copy(value: Value, level: int = 0) -> Value:
    """Return a copy that shares no container with the value. Mappings become objects, other leaves stay."""
    kind = type(value)
    if kind is list or kind is tuple or kind is dict:
        if level >= MAX_NESTING:
            raise HogDepthExceeded(f"Value is nested more than {MAX_NESTING} levels deep")
        if kind is dict:
            return {k: copy(v, level + 1) for k, v in value.items()}
        return kind(copy(v, level + 1) for v in value)
    return value


def to_json(value: Value, path: tuple[int, ...] = ()) -> Any:
    """Return a value that a JSON encoder takes: tuples as lists, keys as text, the rest in print form.

    A NaN and the infinities become null, as does a cycle.
    """
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is int:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if id(value) in path:
        return None
    if len(path) >= MAX_NESTING:
        raise HogDepthExceeded(f"Value is nested more than {MAX_NESTING} levels deep")
    inner = (*path, id(value))
    if kind is list or kind is tuple:
        return [to_json(v, inner) for v in value]
    if kind is dict:
        return {k if type(k) is str else show(k): to_json(v, inner) for k, v in value.items()}
    if kind is HogDate:
        return f"{value.year:04d}-{value.month:02d}-{value.day:02d}"
    if kind is HogDateTime:
        try:
            return value.aware().isoformat()
        except (ValueError, OverflowError):
            return show(value)
    if kind is HogError:
        return {"type": value.type, "message": value.message, "payload": to_json(value.payload, inner)}
    return show(value)
