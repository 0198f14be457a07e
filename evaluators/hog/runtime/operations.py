"""The operators of Hog as functions that compiled programs call.

Where Hog evaluates the right operand before the left, the function takes it first: the host evaluates
arguments from left to right.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.errors import (
    HogArgumentsExceeded,
    HogDepthExceeded,
    HogMemoryExceeded,
    HogThrow,
    HogTypeError,
    HogZeroDivisionError,
)
from evaluators.hog.runtime.regex import liker, searcher
from evaluators.hog.runtime.relations import compare, contains, equal
from evaluators.hog.runtime.text_forms import print_text, text
from evaluators.hog.runtime.values import (
    HogError,
    HogFunction,
    Value,
    is_number,
    text_bytes,
    type_name,
)

MAX_INTEGER_BITS = 32 * 1024
"""Bits that an integer may have."""

SMALL_TEXT = 1024
"""Characters of a text whose memory is not charged by itself: the steps cover it."""

# ---------------------------------------------------------------------------------------------- arithmetic


def _refuse(op: str, left: Value, right: Value) -> HogTypeError:
    return HogTypeError(f"Can not apply '{op}' to {type_name(left)} and {type_name(right)}")


def add(context: Context, right: Value, left: Value) -> Value:
    """`+`: numbers, strings with strings, arrays with arrays."""
    kind = type(left)
    if kind is str and type(right) is str:
        if len(left) + len(right) > SMALL_TEXT:
            charge_text(context, left, right)
        return left + right
    if is_number(left) and is_number(right):
        try:
            return _bounded(left + right)
        except OverflowError:
            return _overflow(left, right)
    if kind is list and type(right) is list:
        context.charge(8 * (len(left) + len(right)))
        context.step((len(left) + len(right)) // 16)
        return left + right
    raise _refuse("+", left, right)


def subtract(right: Value, left: Value) -> Value:
    """`-` of two numbers."""
    if is_number(left) and is_number(right):
        try:
            return _bounded(left - right)
        except OverflowError:
            return _overflow(left, right)
    raise _refuse("-", left, right)


def multiply(right: Value, left: Value) -> Value:
    """`*` of two numbers."""
    if not (is_number(left) and is_number(right)):
        raise _refuse("*", left, right)
    try:
        return _bounded(left * right)
    except OverflowError:
        return _overflow(left, right)


def divide(right: Value, left: Value) -> Value:
    """`/` of two numbers, always a float."""
    if not (is_number(left) and is_number(right)):
        raise _refuse("/", left, right)
    if right == 0:
        raise HogZeroDivisionError
    try:
        return left / right
    except OverflowError:
        return _overflow(left, right)


def modulo(right: Value, left: Value) -> Value:
    """`%` of two numbers, with the sign of the dividend."""
    if not (is_number(left) and is_number(right)):
        raise _refuse("%", left, right)
    if right == 0:
        raise HogZeroDivisionError("Modulo by zero")
    if type(left) is int and type(right) is int:
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    try:
        return math.fmod(left, right) if math.isfinite(left) else math.nan
    except OverflowError:
        return _overflow(left, right)


def negate(operand: Value) -> Value:
    """Unary `-` of a number."""
    if is_number(operand):
        return -operand
    raise HogTypeError(f"Can not apply '-' to {type_name(operand)}")


def _bounded(number: int | float) -> int | float:
    if type(number) is int and number.bit_length() > MAX_INTEGER_BITS:
        raise HogMemoryExceeded(MAX_INTEGER_BITS // 8, f"Integer has more than {MAX_INTEGER_BITS} bits")
    return number


def _overflow(left: Value, right: Value) -> Value:
    raise HogTypeError(f"Integer is too large to be used with a float: {type_name(left)} and {type_name(right)}")


# --------------------------------------------------------------------------------------------------- texts


def charge_text(context: Context, *parts: str) -> None:
    """Charge the text that some texts are about to be joined to."""
    size = sum(map(len, parts))
    context.charge(text_bytes(size, *parts))
    context.step(size >> 9)


def sized(context: Context, joined: str) -> str:
    """Charge a text that was just made of one text and constants around it, and return it."""
    if len(joined) > SMALL_TEXT:
        charge_text(context, joined)
    return joined


def join_texts(context: Context, *parts: str) -> str:
    """Join some texts."""
    if sum(map(len, parts)) > SMALL_TEXT:
        charge_text(context, *parts)
    return "".join(parts)


def join(context: Context, *parts: Value) -> str:
    """Join the texts of some values, as templates do."""
    texts: list[str] = []  # no comprehension: a census of memory sees only variables
    size = 0
    for part in parts:
        piece = part if type(part) is str else text(part, context)
        size += len(piece)
        texts.append(piece)
    if size > SMALL_TEXT:
        charge_text(context, *texts)
    return "".join(texts)


def join_back(context: Context, *parts: Value) -> str:
    """Join the texts of some values that come last first, as `||` evaluates them."""
    return join(context, *parts[::-1])


def print_values(context: Context, *values: Value) -> None:
    """Print some values on one line."""
    texts: list[str] = []
    texts.extend(print_text(value, context) for value in values)
    if sum(map(len, texts)) > SMALL_TEXT:
        charge_text(context, *texts)
    context.print_line(" ".join(texts))


# --------------------------------------------------------------------------------------------- comparisons


def equals(context: Context, right: Value, left: Value) -> bool:
    """`==`."""
    return equal(context, left, right)


def differs(context: Context, right: Value, left: Value) -> bool:
    """`!=`."""
    return not equal(context, left, right)


def less(context: Context, right: Value, left: Value) -> bool:
    """`<`; false if either side is null."""
    return compare(context, left, right) == -1


def less_or_equal(context: Context, right: Value, left: Value) -> bool:
    """`<=`."""
    return compare(context, left, right) in (-1, 0)


def greater(context: Context, right: Value, left: Value) -> bool:
    """`>`."""
    return compare(context, left, right) == 1


def greater_or_equal(context: Context, right: Value, left: Value) -> bool:
    """`>=`."""
    return compare(context, left, right) in (0, 1)


def between(context: Context, high: Value, low: Value, operand: Value) -> bool:
    """`between`: both ends included; false if any of the three is null."""
    return compare(context, operand, low) in (0, 1) and compare(context, operand, high) in (-1, 0)


def within(context: Context, container: Value, item: Value) -> bool:
    """`in`."""
    return contains(context, item, container)


def not_within(context: Context, container: Value, item: Value) -> bool:
    """`not in`."""
    return not contains(context, item, container)


def like(context: Context, pattern: Value, subject: Value) -> bool:
    """`like`."""
    if type(subject) is str and type(pattern) is str:
        return liker(pattern)(context, subject)
    raise _refuse("like", subject, pattern)


def ilike(context: Context, pattern: Value, subject: Value) -> bool:
    """`ilike`."""
    if type(subject) is str and type(pattern) is str:
        return liker(pattern, True)(context, subject)
    raise _refuse("ilike", subject, pattern)


def _regex(op: str, ignore_case: bool, negated: bool) -> Callable[[Context, Value, Value], bool]:
    def search(context: Context, pattern: Value, subject: Value) -> bool:
        if subject is None or pattern is None or subject == "" or pattern == "":
            return False
        if type(subject) is str and type(pattern) is str:
            return searcher(pattern, ignore_case)(context, subject) is not negated
        raise _refuse(op, subject, pattern)

    return search


regex = _regex("=~", False, False)
not_regex = _regex("!~", False, True)
iregex = _regex("=~*", True, False)
not_iregex = _regex("!~*", True, True)

# ------------------------------------------------------------------------------------- calls and errors


def call(context: Context, depth: int, function: Value, *args: Value) -> Value:
    """Call a value."""
    if type(function) is not HogFunction:
        raise HogTypeError(f"Can not call a value of type {type_name(function)}")
    if len(args) > context.limits.arguments:
        raise HogArgumentsExceeded(f"A call takes at most {context.limits.arguments} arguments")
    if function.closure:
        return context.call_closure(function, depth, args)
    return context.call_library(function, depth, args)


def enter(context: Context, depth: int, weight: int) -> None:
    """Begin a call of a closure: charge the steps of its body."""
    if depth > context.limits.depth:
        raise HogDepthExceeded(f"Call depth of {context.limits.depth} exceeded")
    context.step(weight)


def throw(value: Value) -> HogThrow:
    """Return the exception that carries a thrown error."""
    if type(value) is HogError:
        return HogThrow(value)
    raise HogTypeError(f"Can not throw a value of type {type_name(value)}; throw takes an error")


def caught(carrier: HogThrow) -> HogError:
    """Return the error that was thrown."""
    return carrier.error


def is_type(error: HogError, name: str) -> bool:
    """Whether a catch with this type takes the error."""
    return error.type == name
