"""Functions of arrays and objects. Nothing is changed in place: all return copies. A tuple counts as an array."""

from __future__ import annotations

from functools import cmp_to_key

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.errors import HogDepthExceeded
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.relations import compare, contains, found_at
from evaluators.hog.runtime.values import Value
from evaluators.hog.stdlib.arguments import (
    ELEMENT_BYTES,
    ELEMENTS_PER_STEP,
    as_function,
    as_integer,
    as_text,
    charge_elements,
    charge_text,
    shown,
)

_COMPARISONS_PER_STEP = 4
_CHARS_PER_COMPARISON = 1024


def keys(ctx: Context, value: Value) -> list[Value]:
    """Return an object's keys, or an array's positions counted from 0 as `for` does; `[]` for anything else."""
    kind = type(value)
    if kind is dict:
        charge_elements(ctx, len(value))
        return list(value)
    if kind is list or kind is tuple:
        charge_elements(ctx, len(value), ELEMENT_BYTES)
        return list(range(len(value)))
    return []


def values(ctx: Context, value: Value) -> list[Value]:
    """Return an object's values or an array's elements; `[]` for anything else."""
    kind = type(value)
    if kind is dict:
        charge_elements(ctx, len(value))
        return list(value.values())
    if kind is list or kind is tuple:
        charge_elements(ctx, len(value))
        return list(value)
    return []


def has(ctx: Context, array: Value, item: Value) -> bool:
    """Whether an element is the same as the item, without coercion; false if there is no array."""
    if type(array) is not list and type(array) is not tuple:
        return False
    return found_at(ctx, item, array) >= 0


def is_in(ctx: Context, item: Value, container: Value) -> bool:
    """Return what `item in container` gives; false if the container is null."""
    return container is not None and contains(ctx, item, container)


def index_of(ctx: Context, array: Value, item: Value) -> int:
    """Return the position of the first element that is the same as the item; 0 if there is none."""
    if type(array) is not list and type(array) is not tuple:
        return 0
    return found_at(ctx, item, array) + 1


def array_push_back(ctx: Context, array: Value, item: Value) -> list[Value]:
    """Return the array with the item at its end; no array counts as an empty one."""
    if type(array) is not list and type(array) is not tuple:
        return [item]
    if len(array) > ELEMENTS_PER_STEP:
        charge_elements(ctx, len(array))
    return [*array, item]


def array_push_front(ctx: Context, array: Value, item: Value) -> list[Value]:
    """Return the array with the item at its beginning; no array counts as an empty one."""
    if type(array) is not list and type(array) is not tuple:
        return [item]
    charge_elements(ctx, len(array))
    return [item, *array]


def array_pop_back(ctx: Context, array: Value) -> list[Value]:
    """Return the array without its last element."""
    return _elements(ctx, array)[:-1]


def array_pop_front(ctx: Context, array: Value) -> list[Value]:
    """Return the array without its first element."""
    return _elements(ctx, array)[1:]


def _elements(ctx: Context, array: Value) -> list[Value]:
    """Return a copy of the elements; `[]` if the value is not an array."""
    if type(array) is not list and type(array) is not tuple:
        return []
    charge_elements(ctx, len(array))
    return list(array)


def array_sort(ctx: Context, array: Value, *_ignored: Value) -> list[Value]:
    """Return the elements from the least to the greatest, null and NaN last."""
    return _sorted(ctx, array, descending=False)


def array_reverse_sort(ctx: Context, array: Value, *_ignored: Value) -> list[Value]:
    """Return the elements from the greatest to the least, null and NaN last."""
    return _sorted(ctx, array, descending=True)


def _sorted(ctx: Context, array: Value, *, descending: bool) -> list[Value]:
    """Sort by `<`. HogTypeError if two elements cannot be compared."""
    elements = _elements(ctx, array)
    kinds = set(map(type, elements))
    comparisons = len(elements) * len(elements).bit_length()
    if kinds <= {str}:
        each = 1 + max(map(len, elements), default=0) // _CHARS_PER_COMPARISON
        ctx.step(comparisons * each // _COMPARISONS_PER_STEP)
        return sorted(elements, reverse=descending)
    charge_elements(ctx, len(elements), 3 * ELEMENT_BYTES)
    ordered = [element for element in elements if element is not None and element == element]
    rest = [element for element in elements if element is None or element != element]
    if kinds <= {int, float, type(None)}:
        ctx.step(comparisons // _COMPARISONS_PER_STEP)
        return sorted(ordered, reverse=descending) + rest

    def order(left: Value, right: Value) -> int:
        ctx.step(1)
        return compare(ctx, left, right) or 0

    return sorted(ordered, key=cmp_to_key(order), reverse=descending) + rest


def array_reverse(ctx: Context, array: Value) -> list[Value]:
    """Return the elements from the last to the first."""
    return _elements(ctx, array)[::-1]


def array_string_concat(ctx: Context, array: Value, separator: Value = "") -> str:
    """Join the texts of the elements, null as an empty one; `''` if there is no array."""
    if type(array) is not list and type(array) is not tuple:
        return ""
    between = "" if separator is None else as_text("arrayStringConcat", "the separator", separator)
    if len(array) > ELEMENTS_PER_STEP:
        charge_elements(ctx, len(array), ELEMENT_BYTES)
    parts: list[str] = []
    size = len(between) * len(array)
    for element in array:
        parts.append("" if element is None else shown(ctx, element))
        size += len(parts[-1])
    charge_text(ctx, size, between, *parts)
    return between.join(parts)


def range_of(ctx: Context, first: Value, end: Value = None) -> list[int]:
    """`range(n)`: 0 to n - 1; `range(a, b)`: a to b - 1."""
    low = as_integer("range", "the first number", first)
    start, stop = (0, low) if end is None else (low, as_integer("range", "the end", end))
    charge_elements(ctx, max(stop - start, 0), ELEMENT_BYTES)
    return list(range(start, stop))


def tuple_of(*items: Value) -> tuple[Value, ...]:
    """Return a tuple of the arguments."""
    return items


# -------------------------------------------------------------------------------------- with a function


def begin_callbacks(ctx: Context, depth: int, array: Value) -> list[Value]:
    """Return the elements that a function is called with from a frame at `depth`. HogDepthExceeded at its limit."""
    if depth >= ctx.limits.depth:
        raise HogDepthExceeded(f"Call depth of {ctx.limits.depth} exceeded")
    return values(ctx, array)


def array_map(ctx: Context, function: Value, array: Value) -> list[Value]:
    """Return what the function makes of each element."""
    call, callee = ctx.call, as_function("arrayMap", function)
    return [call(callee, (element,)) for element in values(ctx, array)]


def array_filter(ctx: Context, function: Value, array: Value) -> list[Value]:
    """Return the elements for which the function gives something true."""
    call, callee = ctx.call, as_function("arrayFilter", function)
    return [element for element in values(ctx, array) if call(callee, (element,))]


def array_exists(ctx: Context, function: Value, array: Value) -> bool:
    """Whether the function gives something true for any element; stops at the first."""
    call, callee = ctx.call, as_function("arrayExists", function)
    return any(call(callee, (element,)) for element in values(ctx, array))


def array_count(ctx: Context, function: Value, array: Value) -> int:
    """Count the elements for which the function gives something true."""
    call, callee = ctx.call, as_function("arrayCount", function)
    return sum(1 for element in values(ctx, array) if call(callee, (element,)))


def array_reduce(ctx: Context, function: Value, array: Value, initial: Value) -> Value:
    """Return the last of: the initial value, then what the function makes of the value before and each element."""
    call, callee = ctx.call, as_function("arrayReduce", function)
    result = initial
    for element in values(ctx, array):
        result = call(callee, (result, element))
    return result


FUNCTIONS = {
    "keys": Function(keys, 1, 1, needs_context=True),
    "values": Function(values, 1, 1, needs_context=True),
    "has": Function(has, 2, 2, needs_context=True),
    "in": Function(is_in, 2, 2, needs_context=True),
    "indexOf": Function(index_of, 2, 2, needs_context=True),
    "arrayPushBack": Function(array_push_back, 2, 2, needs_context=True),
    "arrayPushFront": Function(array_push_front, 2, 2, needs_context=True),
    "arrayPopBack": Function(array_pop_back, 1, 1, needs_context=True),
    "arrayPopFront": Function(array_pop_front, 1, 1, needs_context=True),
    "arraySort": Function(array_sort, 1, None, needs_context=True),
    "arrayReverseSort": Function(array_reverse_sort, 1, None, needs_context=True),
    "arrayReverse": Function(array_reverse, 1, 1, needs_context=True),
    "arrayStringConcat": Function(array_string_concat, 1, 2, needs_context=True),
    "range": Function(range_of, 1, 2, needs_context=True),
    "tuple": Function(tuple_of, 0, None, cheap=True),
    "arrayMap": Function(array_map, 2, 2, needs_context=True),
    "arrayFilter": Function(array_filter, 2, 2, needs_context=True),
    "arrayExists": Function(array_exists, 2, 2, needs_context=True),
    "arrayCount": Function(array_count, 2, 2, needs_context=True),
    "arrayReduce": Function(array_reduce, 3, 3, needs_context=True),
}
