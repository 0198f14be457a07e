"""How the objects of all SDKs name their fields: their types, and the spellings of C# and Haystack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TAGS = ("type", "part_kind", "block_type", "kind", "$type", "content_type", "messageType", "message_type")
_OTHER_SPELLINGS = frozenset({
    "Role", "Items", "Contents", "FunctionName", "CallId", "ToolCalls", "Messages", "_role", "_content",
})  # fmt: skip
_SUFFIXES = ("_", "chunk", "content", "message", "event", "block", "item", "part")


def tag(item: Mapping[str, Any]) -> str:
    """Return the type of a message or block, in small letters with underscores; empty if it names none."""
    for key in _TAGS:
        value = item.get(key)
        if isinstance(value, str) and value and "/" not in value:
            return value.lower().replace("-", "_")
    return ""


def stem(kind: str) -> str:
    """Return a type without underscores and without words such as `content`: all spellings have one stem."""
    made = kind.replace("_", "")
    for suffix in _SUFFIXES:
        made = made.removesuffix(suffix) or made
    return made


def first(item: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """Return the first value of `keys` that is there and not null, else None."""
    for key in keys:
        value = item.get(key)
        if value is not None:
            return value
    return None


def in_our_spelling(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an object whose fields begin with a capital or an underscore with them as all others write them."""
    if _OTHER_SPELLINGS.isdisjoint(item) and "$type" not in item:
        return item
    return {key[:1].lower() + key[1:] if key[:1] != "_" else key[1:]: value for key, value in item.items()}


def are_numbers(items: list[Any]) -> bool:
    """Return whether a list is of numbers and nothing else; an empty one is not."""
    return bool(items) and is_number(items[0]) and set(map(type, items)) <= {int, float}


def is_number(value: Any) -> bool:
    """Return whether a value is a number and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)
