"""Reading globals, elements and properties, setting them, and going through collections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evaluators.hog.copies import copy
from evaluators.hog.errors import HogGlobalNotFound, HogKeyError, HogTypeError
from evaluators.hog.relations import hash_key
from evaluators.hog.runtime import Context
from evaluators.hog.values import HogDate, HogDateTime, HogError, HogFunction, HogInterval, Value, is_number, type_name

FEW = 32
"""Elements of a collection whose snapshot is not charged by itself."""

ENTRY_BYTES = 96
"""Of a pair in a snapshot, with its position."""

Globals = Mapping[str, Any]
_MISSING: Any = object()


def read_global(table: Globals, name: str) -> Value:
    """Return a global."""
    value = table.get(name, _MISSING)
    if value is _MISSING:
        raise HogGlobalNotFound(name)
    return value


def global_or_function(table: Globals, name: str, function: HogFunction) -> Value:
    """Return a global, or the library function of that name."""
    value = table.get(name, _MISSING)
    return function if value is _MISSING else value


def path_of_global(table: Globals, name: str, *keys: Value) -> Value:
    """Return what is at a path below a global; null at any missing depth."""
    value = table.get(name, _MISSING)
    if value is _MISSING:
        raise HogGlobalNotFound(name)
    for key in keys:
        if type(value) is dict:
            value = value.get(key)
        elif value is None:
            return None
        elif isinstance(value, Mapping):
            value = value.get(key)
        else:
            value = get(value, key)
    return value


def get(container: Value, key: Value) -> Value:
    """`container[key]` and `container.key`: 1-based, null where there is nothing."""
    kind = type(container)
    if kind is dict:
        return container.get(hash_key(key))
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
