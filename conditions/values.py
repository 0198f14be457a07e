"""How a JSON value reads as text, as a number, and when two of them are equal.

Every operator goes through these few functions, in the interpreter and in the compiled matcher alike.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

import msgspec

_NUMERIC = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WHOLE_FLOAT_LIMIT = 1e21  # above it a float's shortest form has an exponent
DIGIT_LIMIT = 4_300
"""Digits of the longest whole number that is read. Python refuses longer ones, and nobody means them."""

_encode = msgspec.json.Encoder().encode


def number_of(value: object) -> int | float | None:
    """Return the finite number that `value` reads as, or None.

    A string counts if it is a decimal number and nothing else (no spaces, no `inf`, no `0x`); a boolean
    does not count. Whole numbers stay exact, however long.
    """
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None  # type: ignore[arg-type, return-value]  # `kind` says so
    if kind is int:
        return value  # type: ignore[return-value]  # `kind` says so
    if kind is str:
        return _number_of_text(value)  # type: ignore[arg-type]  # `kind` says so
    return None


def _number_of_text(text: str) -> int | float | None:
    # Most strings are not numeric and end here, before the pattern is tried.
    if not text or text[-1] not in "0123456789." or not _NUMERIC.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        if len(text) > DIGIT_LIMIT:
            return None
        number = float(text)
        return number if math.isfinite(number) else None


def text_of(value: object) -> str:
    """Return the text of a value: strings as they are, `true`/`false`, the shortest form of a number
    (`3`, `3.5`), compact JSON for lists and objects.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        if value.is_integer() and abs(value) < _WHOLE_FLOAT_LIMIT:
            return str(int(value))
        return _encode(value).decode() if math.isfinite(value) else repr(value)
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate, which a JSON escape can bring in
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def folded(text: str) -> str:
    """Return `text` for comparison without regard to case, by Unicode's full case folding."""
    return text.casefold()


def equal(x: object, v: object) -> bool:
    """Tell whether a field's value `x`, which is not null, is `v` in the sense of `exact`.

    A number equals a string that is numerically equal, a boolean equals the strings `true` and `false`;
    two strings are equal only as they stand; lists and objects compare by value.
    """
    if isinstance(x, bool) or isinstance(v, bool):
        return _truth_text(x) == _truth_text(v) is not None
    if isinstance(x, int | float) or isinstance(v, int | float):
        a = number_of(x)
        return a is not None and a == number_of(v)
    return same_json(x, v)


def _truth_text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def same_json(a: object, b: object) -> bool:
    """Tell whether two decoded JSON values are the same value: `1` is `1.0`, but neither `true` nor `"1"`."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Mapping):
        if not isinstance(b, Mapping) or a.keys() != b.keys():
            return False
        return all(same_json(item, b[key]) for key, item in a.items())
    if isinstance(a, Sequence) and not isinstance(a, str):
        if not isinstance(b, Sequence) or isinstance(b, str) or len(a) != len(b):
            return False
        return all(same_json(item, other) for item, other in zip(a, b, strict=True))
    return a == b


def order(x: object, v: object) -> int | None:
    """Compare as the ordering operators do: -1, 0 or 1; None where there is no order.

    Both as finite numbers if both read as one; else, if both are strings, as strings.
    """
    a, b = number_of(x), number_of(v)
    if a is not None and b is not None:
        return (a > b) - (a < b)
    if isinstance(x, str) and isinstance(v, str):
        return (x > v) - (x < v)
    return None
