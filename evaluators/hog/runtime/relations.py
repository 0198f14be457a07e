"""How values relate: `==` with its coercions, sameness within containers, `in`, `<`, and keys of objects.

Every walk is charged to a `Meter`: a value that holds another many times takes as long as if it were written out.
"""

from __future__ import annotations

from evaluators.hog.runtime.date_text import epoch_of_text
from evaluators.hog.runtime.errors import HogTypeError
from evaluators.hog.runtime.meter import MAX_NESTING, Meter, too_deep
from evaluators.hog.runtime.values import (
    HogDate,
    HogDateTime,
    HogError,
    HogFunction,
    HogInterval,
    Value,
    number_of,
    type_name,
)

LONG_TEXT = 256
"""Characters from which on comparing two texts is charged."""

MAX_KEY_CHARS = 1024 * 1024
"""Characters of all the texts in one key: looking a key up takes as long as comparing it."""

MAX_KEY_PARTS = 1000
"""Parts of a tuple that is a key, those of tuples within it included: looking it up walks them all."""


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


def equal(meter: Meter, left: Value, right: Value) -> bool:
    """`==`: coerces, then compares by value. Null equals only null."""
    a, b = type(left), type(right)
    if a is b and (a is str or a is int or a is float):
        return _same_text(meter, left, right) if a is str else bool(left == right)
    if left is None or right is None:
        return left is right
    first, second = coerce(left, right)
    return same(meter, first, second)


def _same_text(meter: Meter, left: str, right: str) -> bool:
    if len(left) > LONG_TEXT and len(left) == len(right):
        meter.step(len(left) >> 10)
    return left == right


def same(meter: Meter, left: Value, right: Value, level: int = 0) -> bool:
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
    if a is str:
        return _same_text(meter, left, right)
    if a is list or a is tuple or a is dict or a is HogError:
        return left is right or _same_container(meter, left, right, level)
    if a is HogDateTime:
        return bool(left.epoch_s == right.epoch_s)
    if a is HogFunction:
        return bool(left is right or left.code is right.code)
    return bool(left == right)


def _same_container(meter: Meter, left: Value, right: Value, level: int) -> bool:
    if level >= MAX_NESTING:
        raise too_deep()
    if type(left) is HogError:
        meter.step(1)
        return (
            left.type == right.type
            and _same_text(meter, left.message, right.message)
            and same(meter, left.payload, right.payload, level + 1)
        )
    if len(left) != len(right):
        return False
    meter.step(1 + len(left) // 2)
    if type(left) is dict:
        return all(k in right and same(meter, v, right[k], level + 1) for k, v in left.items())
    return all(same(meter, x, y, level + 1) for x, y in zip(left, right, strict=True))


def found_at(meter: Meter, item: Value, elements: list[Value] | tuple[Value, ...]) -> int:
    """Return the position, from 0, of the first element that is the same as the item; -1 if there is none."""
    if len(elements) > LONG_TEXT:
        meter.step(len(elements) >> 3)
    if type(item) is str and len(item) <= LONG_TEXT:
        return elements.index(item) if item in elements else -1
    return next((at for at, element in enumerate(elements) if same(meter, element, item)), -1)


def contains(meter: Meter, item: Value, container: Value) -> bool:
    """`item in container`: an element of an array or tuple, a key of an object, a substring of a string."""
    kind = type(container)
    if kind is list or kind is tuple:
        return found_at(meter, item, container) >= 0
    if kind is str:
        if type(item) is str:
            if len(container) > LONG_TEXT:
                meter.step(len(container) >> 7)
            return item in container
        raise HogTypeError(f"'in' needs a string on its left when a string is on its right, got {type_name(item)}")
    if kind is dict:
        return hash_key(item) in container
    raise HogTypeError(f"'in' needs an array, a tuple, an object or a string on its right, got {type_name(container)}")


def hash_key(key: Value) -> Value:
    """Return the key if an object can have it (null, boolean, number, string, date, tuples of these)."""
    kind = type(key)
    if kind is str:
        if len(key) > MAX_KEY_CHARS:
            raise HogTypeError(f"A text of more than {MAX_KEY_CHARS} characters can not be a key of an object")
        return key
    if kind is int or key is None or kind is bool or kind is float:
        return key
    if kind is HogDate or kind is HogDateTime or kind is HogInterval:
        return key
    if kind is tuple:
        _check_tuple(key)
        return key
    raise HogTypeError(f"{type_name(key)} can not be a key of an object")


def _check_tuple(key: tuple[Value, ...]) -> None:
    """Raise HogTypeError if a part of a tuple cannot be a key, or if it is too large: each look-up walks all of it."""
    stack, parts, characters = [key], 0, 0
    while stack:
        item = stack.pop()
        parts += len(item)
        if parts > MAX_KEY_PARTS:
            raise HogTypeError(f"A tuple of more than {MAX_KEY_PARTS} parts can not be a key of an object")
        for part in item:
            if type(part) is tuple:
                stack.append(part)
                continue
            hash_key(part)
            if type(part) is str:
                characters += len(part)
    if characters > MAX_KEY_CHARS:
        raise HogTypeError(f"A tuple of more than {MAX_KEY_CHARS} characters can not be a key of an object")


def compare(meter: Meter, left: Value, right: Value, level: int = 0) -> int | None:
    """Return -1, 0 or 1 after coercion; None if either is null or a NaN.

    Arrays compare with arrays and tuples with tuples element by element. HogTypeError otherwise.
    """
    if left is None or right is None:
        return None
    first, second = coerce(left, right)
    a, b = type(first), type(second)
    if a is b and (a is str or a is bool):
        if a is str and len(first) > LONG_TEXT:
            meter.step(min(len(first), len(second)) >> 10)
        return int(first > second) - int(first < second)
    if (a is int or a is float) and (b is int or b is float):
        if first != first or second != second:
            return None
        return int(first > second) - int(first < second)
    if a is b and (a is list or a is tuple):
        if level >= MAX_NESTING:
            raise too_deep()
        meter.step(1 + min(len(first), len(second)) // 2)
        for x, y in zip(first, second, strict=False):
            order = compare(meter, x, y, level + 1)
            if order != 0:
                return order
        return (len(first) > len(second)) - (len(first) < len(second))
    raise HogTypeError(f"Can not compare {type_name(left)} with {type_name(right)}")
