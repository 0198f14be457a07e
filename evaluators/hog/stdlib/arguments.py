"""Checks of the arguments of library functions, and what their results cost.

A function charges memory before it allocates it. Results of up to `FREE_CHARS` characters are
covered by what every step may allocate.
"""

from __future__ import annotations

from evaluators.hog.runtime.context import FREE_CHARS, Context
from evaluators.hog.runtime.errors import HogTypeError
from evaluators.hog.runtime.text_forms import print_text
from evaluators.hog.runtime.values import HogFunction, Value, text_bytes, type_name

TEXT_SHIFT = 8
"""The characters of ASCII that one step covers, as a power of two; one step covers a quarter as many of other text."""

CHARS_PER_STEP = 64
ELEMENTS_PER_STEP = 20
REFERENCE_BYTES = 8
ELEMENT_BYTES = 64
"""The bytes of a small value with the reference to it."""


def wrong_type(function: str, expected: str, value: Value) -> HogTypeError:
    """Return the error for a value of a type that a function does not take."""
    return HogTypeError(f"{function} needs {expected}, got {type_name(value)}")


def as_text(function: str, what: str, value: Value) -> str:
    """Return the value if it is a string. HogTypeError otherwise, naming the argument."""
    if type(value) is str:
        return value
    raise wrong_type(function, f"a string as {what}", value)


def expect_null(function: str, value: Value) -> None:
    """Raise HogTypeError unless the value, which is not the string that is expected, is null."""
    if value is not None:
        raise wrong_type(function, "a string", value)


def as_integer(function: str, what: str, value: Value) -> int:
    """Return the value as an integer if it is a whole number. HogTypeError otherwise, naming the argument."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise wrong_type(function, f"a whole number as {what}", value)


def as_number(function: str, value: Value) -> int | float:
    """Return the value if it is an integer or a float. HogTypeError otherwise."""
    if type(value) is int or type(value) is float:
        return value
    raise wrong_type(function, "a number", value)


def as_function(function: str, value: Value) -> HogFunction:
    """Return the value if it can be called. HogTypeError otherwise."""
    if type(value) is HogFunction:
        return value
    raise wrong_type(function, "a function as its first argument", value)


def charge_text(ctx: Context, n_chars: int, *sources: str) -> None:
    """Charge a text of `n_chars` that is about to be made of the characters of `sources`, and the time for it."""
    if n_chars > FREE_CHARS:
        n_bytes = text_bytes(n_chars, *sources)
        ctx.charge(n_bytes)
        ctx.step(n_bytes >> TEXT_SHIFT)


def charge_elements(ctx: Context, count: int, each_bytes: int = REFERENCE_BYTES) -> None:
    """Charge an array of `count` elements that is about to be made, and the time that it takes."""
    if count > ELEMENTS_PER_STEP:
        ctx.charge(count * each_bytes)
        ctx.step(count // ELEMENTS_PER_STEP)


def utf8(text: str) -> bytes:
    """Return the text as UTF-8. Half of a surrogate pair, which has no UTF-8, becomes `?`."""
    return text.encode("utf-8", "replace")


def shown(ctx: Context, value: Value) -> str:
    """Return a string raw and anything else in its print form, charged as it is made."""
    return print_text(value, ctx)
