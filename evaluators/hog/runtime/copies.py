"""Copies of values: of globals, so that a program may change them, and as what a JSON encoder takes."""

from __future__ import annotations

import math
from typing import Any

from evaluators.hog.runtime.meter import MAX_NESTING, Allowance, Meter, too_deep
from evaluators.hog.runtime.text_forms import LONG_TEXT, float_text, integer_text, show
from evaluators.hog.runtime.values import HogDate, HogDateTime, HogError, Value, text_bytes

_CONTAINER_BYTES = 64
_MEMBER_BYTES = 16
_ENTRY_BYTES = 80

# Unfinished copies are kept in variables, not in comprehensions, because a census of memory sees only variables.


def copy(meter: Meter, value: Value, level: int = 0) -> Value:
    """Return a copy that shares no container with the value."""
    kind = type(value)
    if kind is not list and kind is not tuple and kind is not dict:
        return value
    if level >= MAX_NESTING:
        raise too_deep()
    meter.step(1 + len(value) // 4)
    if kind is dict:
        meter.charge(_CONTAINER_BYTES + _ENTRY_BYTES * len(value))
        made: dict[Value, Value] = {}
        for k, v in value.items():
            made[k] = copy(meter, v, level + 1)
        return made
    meter.charge(_CONTAINER_BYTES + _MEMBER_BYTES * len(value))
    items: list[Value] = []
    items.extend(copy(meter, v, level + 1) for v in value)
    return items if kind is list else tuple(items)


def to_json(value: Value, meter: Meter | None = None) -> Any:
    """Return a value that a JSON encoder takes: tuples as lists, keys as text, the rest in print form.

    A NaN and the infinities become null, as does a cycle. Charged to `meter`, by default to an allowance of
    its own.
    """
    return _to_json(value, [], Allowance() if meter is None else meter)


def _to_json(value: Value, path: list[int], meter: Meter) -> Any:
    kind = type(value)
    if kind is str:
        if len(value) > LONG_TEXT:
            meter.charge(6 * len(value) if not value.isascii() else 2 * len(value))
            meter.step(len(value) >> 6)
        return value
    if value is None or kind is bool or kind is int:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is list or kind is tuple or kind is dict or kind is HogError:
        if id(value) in path:
            return None
        if len(path) >= MAX_NESTING:
            raise too_deep()
        path.append(id(value))
        made = _container(value, path, meter)
        path.pop()
        return made
    if kind is HogDate:
        return f"{value.year:04d}-{value.month:02d}-{value.day:02d}"
    if kind is HogDateTime:
        try:
            return value.aware().isoformat()
        except (ValueError, OverflowError):
            return show(value, meter)
    return show(value, meter)


def _container(value: Value, path: list[int], meter: Meter) -> Any:
    if type(value) is HogError:
        meter.step(4)
        meter.charge(_CONTAINER_BYTES + 3 * _ENTRY_BYTES)
        message = _to_json(value.message, path, meter)
        return {"type": value.type, "message": message, "payload": _to_json(value.payload, path, meter)}
    meter.step(1 + len(value))
    if type(value) is not dict:
        meter.charge(_CONTAINER_BYTES + _MEMBER_BYTES * len(value))
        items: list[Any] = []
        items.extend(_to_json(item, path, meter) for item in value)
        return items
    meter.charge(_CONTAINER_BYTES + _ENTRY_BYTES * len(value))
    made: dict[str, Any] = {}
    for key, item in value.items():
        made[_key_text(key, meter)] = _to_json(item, path, meter)
    return made


def _key_text(key: Value, meter: Meter) -> str:
    if type(key) is str:
        if len(key) > LONG_TEXT:
            meter.charge(text_bytes(2 * len(key), key))
        return key
    if type(key) is int:
        return integer_text(key)
    return float_text(key) if type(key) is float else show(key, meter)
