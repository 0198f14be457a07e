"""Reading globals, elements and properties, setting them, and going through collections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.copies import copy
from evaluators.hog.runtime.errors import HogGlobalNotFound, HogKeyError, HogTypeError
from evaluators.hog.runtime.relations import hash_key
from evaluators.hog.runtime.values import (
    HogDate,
    HogDateTime,
    HogError,
    HogFunction,
    HogInterval,
    Value,
    View,
    is_number,
    type_name,
)

FEW = 32
"""Elements of a collection whose snapshot is not charged by itself."""

ENTRY_BYTES = 96
"""The bytes of a pair in a snapshot, with its position."""

Globals = Mapping[str, Any]
_MISSING: Any = object()


def read_global(table: Globals, name: str) -> Value:
    """Return a global as a Hog value. A table may hold views, which its method `whole` makes values of."""
    whole = getattr(table, "whole", table.get)
    value = whole(name, _MISSING)
    if value is _MISSING:
        raise HogGlobalNotFound(name)
    return value


def global_or_function(table: Globals, name: str, function: HogFunction) -> Value:
    """Return a global, or the library function of that name."""
    value = getattr(table, "whole", table.get)(name, _MISSING)
    return function if value is _MISSING else value


def path_of_global(table: Globals, path: tuple[Value, ...]) -> Value:
    """Return the value at a path of a global's name, texts and integers; null at any missing depth.

    A table with a dict `paths` keeps the values that were found, for all programs that read the same event.
    """
    known: dict[tuple[Value, ...], Value] | None = getattr(table, "paths", None)
    if known is None:
        return at_path(table, path)
    try:
        return known[path]
    except KeyError:
        value = known[path] = at_path(table, path)
        return value


def at_path(table: Globals, path: tuple[Value, ...]) -> Value:
    """Return the value at a path, found anew."""
    value = table.get(path[0], _MISSING)
    if value is _MISSING:
        raise HogGlobalNotFound(path[0])
    for key in path[1:]:
        if type(value) is dict:
            value = value.get(key)
        elif value is None:
            return None
        elif isinstance(value, Mapping):
            value = value.get(key)
        else:
            value = get(value, key)
    return dict(value) if type(value) is View else value


def get(container: Value, key: Value) -> Value:
    """`container[key]` and `container.key`: 1-based, null where there is nothing."""
    kind = type(container)
    if kind is dict:
        return container.get(key if type(key) is int else hash_key(key))
    if container is None:
        return None
    if kind is list or kind is tuple or kind is str:
        index = _index(container, key)
        if -len(container) <= index < 0:
            return container[index]
        return container[index - 1] if 0 < index <= len(container) else None
    fields = _FIELDS.get(kind)
    if fields is not None and type(key) is str:
        read = fields.get(key)
        return read(container) if read else None
    raise HogTypeError(f"Can not read {_key_text(key)} of {type_name(container)}")


def _index(container: Value, key: Value) -> int:
    if type(key) is float and key.is_integer():
        key = int(key)
    if type(key) is not int:
        raise HogTypeError(f"Can not read {_key_text(key)} of {type_name(container)}: the index must be an integer")
    if key == 0:
        raise HogKeyError("Arrays and strings are indexed from 1; there is no index 0")
    return key


def _key_text(key: Value) -> str:
    if type(key) is str:
        return f"property {key[:80]!r}"
    return f"index {key}" if is_number(key) and abs(key) < 1 << 64 else f"an index of type {type_name(key)}"


_FIELDS: dict[type, dict[str, Callable[[Any], Value]]] = {
    HogError: {"type": lambda v: v.type, "message": lambda v: v.message, "payload": lambda v: v.payload},
    HogDate: {"year": lambda v: v.year, "month": lambda v: v.month, "day": lambda v: v.day},
    HogDateTime: {"dt": lambda v: v.epoch_s, "zone": lambda v: v.zone},
    HogInterval: {"value": lambda v: v.value, "unit": lambda v: v.unit},
}


def put(context: Context, container: Value, key: Value, value: Value) -> None:
    """`container[key] := value`."""
    kind = type(container)
    if kind is dict:
        container[hash_key(key)] = value
        context.step(2)
        return
    if kind is list:
        index = _index(container, key)
        if not 0 < index <= len(container):
            raise HogKeyError(f"Index {index} is out of range for an array of length {len(container)}")
        container[index - 1] = value
        return
    raise HogTypeError(f"Can not set {_key_text(key)} of {type_name(container)}")


def object_of(*pairs: Value) -> dict[Value, Value]:
    """Make an object of keys and values in turn."""
    return {hash_key(pairs[i]): pairs[i + 1] for i in range(0, len(pairs), 2)}


def copied(context: Context, value: Value) -> Value:
    """Return a copy of a global's value, so that the program may change it."""
    if type(value) in (list, dict, tuple):
        return copy(context, value)
    return copy(context, dict(value)) if isinstance(value, Mapping) else value


def elements(context: Context, collection: Value) -> Iterable[Value]:
    """Return what for-in iterates: a snapshot of the values."""
    kind = type(collection)
    if kind is not list and kind is not dict:
        return collection if kind is tuple else ()
    if len(collection) > FEW:
        context.charge(8 * len(collection))
        context.step(len(collection) >> 4)
    return list(collection) if kind is list else list(collection.values())


def entries(context: Context, collection: Value) -> Iterable[tuple[Value, Value]]:
    """Return keys (0-based positions of arrays) and values for for-in with two names."""
    kind = type(collection)
    if kind is not list and kind is not dict and kind is not tuple:
        return ()
    if len(collection) > FEW:
        context.charge(ENTRY_BYTES * len(collection))
        context.step(len(collection) >> 3)
    return list(collection.items()) if kind is dict else list(enumerate(collection))
