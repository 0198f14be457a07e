"""Rounding, and the operators as functions. As functions they evaluate all their arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from evaluators.hog.runtime import operations
from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.errors import HogTypeError
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.relations import compare, equal
from evaluators.hog.runtime.values import Value
from evaluators.hog.stdlib.arguments import as_integer, as_number

_MOST_PLACES = 330
"""Decimal places beyond which no float differs from another."""


def round_to(value: Value, places: Value = None) -> int | float:
    """Round to the nearest whole number, halves to the even one; with places, to so many decimals."""
    number = as_number("round", value)
    if places is not None:
        digits = max(-_MOST_PLACES, min(as_integer("round", "the number of decimals", places), _MOST_PLACES))
        return _fitting(round, number, digits) if math.isfinite(_as_float(number)) else number
    return number if type(number) is int else round(number) if math.isfinite(number) else number


def _fitting(function: Callable[[Any, int], Any], number: int | float, digits: int) -> int | float:
    """Call a function of the host. HogTypeError if no float is as large as its result."""
    try:
        result: int | float = function(number, digits)
    except OverflowError:
        raise HogTypeError("Number is too large") from None
    return result


def _as_float(number: int | float) -> float:
    return 0.0 if type(number) is int else number


def floor(value: Value, places: Value = None) -> int | float:
    """Round down to a whole number, or to so many decimals."""
    number = as_number("floor", value)
    if type(number) is float and not math.isfinite(number):
        return number
    if places is None:
        return math.floor(number)
    digits = max(-_MOST_PLACES, min(as_integer("floor", "the number of decimals", places), _MOST_PLACES))
    if type(number) is int:
        return number if digits >= 0 else number // 10**-digits * 10**-digits
    return _fitting(_floor_float, number, digits)


def _floor_float(number: float, digits: int) -> float:
    rounded = round(number, digits)
    return rounded if rounded <= number else round(rounded - 10.0**-digits, digits)


def ceil(value: Value) -> int | float:
    """Round up to a whole number."""
    number = as_number("ceil", value)
    return number if type(number) is float and not math.isfinite(number) else math.ceil(number)


def absolute(value: Value) -> int | float:
    """Return the number without its sign."""
    return abs(as_number("abs", value))


def min2(ctx: Context, left: Value, right: Value) -> Value:
    """Return the lesser of two values; null if either is null."""
    order = compare(ctx, left, right)
    return _unordered(left, right) if order is None else left if order < 0 else right


def max2(ctx: Context, left: Value, right: Value) -> Value:
    """Return the greater of two values; null if either is null."""
    order = compare(ctx, left, right)
    return _unordered(left, right) if order is None else left if order > 0 else right


def _unordered(left: Value, right: Value) -> Value:
    """Return null if either is null; otherwise one is NaN, and so is the result."""
    return None if left is None or right is None else math.nan


def plus(ctx: Context, left: Value, right: Value) -> Value:
    """Return what `left + right` gives."""
    return operations.add(ctx, right, left)


def minus(left: Value, right: Value) -> Value:
    """Return what `left - right` gives."""
    return operations.subtract(right, left)


def not_equals(ctx: Context, left: Value, right: Value) -> bool:
    """Whether `left != right`."""
    return not equal(ctx, left, right)


def greater(ctx: Context, left: Value, right: Value) -> bool:
    """Whether `left > right`; false if either is null."""
    order = compare(ctx, left, right)
    return order is not None and order > 0


def greater_or_equals(ctx: Context, left: Value, right: Value) -> bool:
    """Whether `left >= right`; false if either is null."""
    order = compare(ctx, left, right)
    return order is not None and order >= 0


def less(ctx: Context, left: Value, right: Value) -> bool:
    """Whether `left < right`; false if either is null."""
    order = compare(ctx, left, right)
    return order is not None and order < 0


def less_or_equals(ctx: Context, left: Value, right: Value) -> bool:
    """Whether `left <= right`; false if either is null."""
    order = compare(ctx, left, right)
    return order is not None and order <= 0


def negate(value: Value) -> bool:
    """Whether the value is not true."""
    return not value


def all_true(*values: Value) -> bool:
    """Whether all values are true."""
    return all(values)


def any_true(*values: Value) -> bool:
    """Whether any value is true."""
    return any(values)


def choose(condition: Value, then: Value, otherwise: Value) -> Value:
    """Return the second argument if the first is true, else the third."""
    return then if condition else otherwise


def multi_if(*arguments: Value) -> Value:
    """Return the value after the first true condition, else the last argument."""
    if len(arguments) % 2 == 0:
        raise HogTypeError("multiIf needs pairs of a condition and a value, then one value for when none is true")
    for at in range(0, len(arguments) - 1, 2):
        if arguments[at]:
            return arguments[at + 1]
    return arguments[-1]


FUNCTIONS = {
    "round": Function(round_to, 1, 2, cheap=True),
    "floor": Function(floor, 1, 2, cheap=True),
    "ceil": Function(ceil, 1, 1, cheap=True),
    "abs": Function(absolute, 1, 1, cheap=True),
    "min2": Function(min2, 2, 2, needs_context=True),
    "max2": Function(max2, 2, 2, needs_context=True),
    "plus": Function(plus, 2, 2, needs_context=True),
    "minus": Function(minus, 2, 2, cheap=True),
    "equals": Function(equal, 2, 2, needs_context=True),
    "notEquals": Function(not_equals, 2, 2, needs_context=True),
    "greater": Function(greater, 2, 2, needs_context=True),
    "greaterOrEquals": Function(greater_or_equals, 2, 2, needs_context=True),
    "less": Function(less, 2, 2, needs_context=True),
    "lessOrEquals": Function(less_or_equals, 2, 2, needs_context=True),
    "not": Function(negate, 1, 1, cheap=True),
    "and": Function(all_true, 1, None, cheap=True),
    "or": Function(any_true, 1, None, cheap=True),
    "if": Function(choose, 3, 3, cheap=True),
    "multiIf": Function(multi_if, 3, None, cheap=True),
}
