"""Tells messages and lists of them from other values. An answer that is JSON must stay as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.messages.blocks import is_block, is_thinking
from evaluators.messages.calls import is_call, is_result
from evaluators.messages.fields import are_numbers, tag
from evaluators.messages.json_text import from_json
from evaluators.messages.vocabulary import CONTENTS, MASTRA_KEYS, METADATA, ROLE_TAGS, WRAPPERS

_PAIR_ROLES = frozenset({"system", "user", "assistant", "human", "ai"})


def messages_in(text: str) -> Any:
    """Return the messages that `text` is the JSON of, or None: an answer that is JSON stays a text."""
    value = from_json(text)
    if isinstance(value, list):
        return value if is_history(value) or is_text_blocks(value) else None
    return value if isinstance(value, Mapping) and (is_message(value) or _is_wrapper(value)) else None


def is_history(items: Sequence[Any]) -> bool:
    """Return whether a list is of messages, with calls, results and reasoning among them."""
    # The first condition ends at the first other value, such as the first of millions of numbers.
    return all(
        isinstance(item, Mapping) and (is_message(item) or is_call(item) or is_result(item) or is_thinking(item))
        for item in items
    ) and any(map(is_message, items))


def is_text_blocks(items: Sequence[Any]) -> bool:
    """Return whether a list is of content blocks, with a text among them: `{"type": "image"}` may be an answer."""
    return all(map(is_block, items)) and any(
        tag(item) in ("text", "input_text", "output_text") and isinstance(item.get("text"), str) for item in items
    )


def is_message(item: Any) -> bool:
    """Return whether an object is a message beyond doubt."""
    if not isinstance(item, Mapping):
        return False
    kind = tag(item)
    if "role" in item or kind == "message" or kind in ROLE_TAGS:
        return any(key in item for key in (*CONTENTS, "tool_calls", "toolCalls", "function_call", "data"))
    if kind in ("request", "response") and isinstance(item.get("parts"), list):
        return True
    inner = item.get("kwargs") if kind == "constructor" else item.get("message")
    return isinstance(inner, Mapping) and "content" in inner


def holds_messages(key: str, value: Any) -> bool:
    """Return whether a list under one of the `WRAPPERS` is of messages beyond doubt."""
    choices = key in ("choices", "candidates", "generations") and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, list) and bool(value) and (choices or is_history(value))


def _is_wrapper(item: Mapping[str, Any]) -> bool:
    inner = [item[key] for key in WRAPPERS if isinstance(item.get(key), list)]
    return len(inner) == 1 and is_history(inner[0])


def said_keys(item: Mapping[str, Any]) -> list[str]:
    """Return the keys of an object that may hold words: neither metadata, nor empty, nor lists of numbers."""
    return [
        key for key, value in item.items()
        if key not in METADATA and value not in (None, "", [], {})
        and not (isinstance(value, list) and are_numbers(value))
    ]  # fmt: skip


def is_pair(value: Sequence[Any]) -> bool:
    """Return whether a list is a message of a role and a text, as LangChain takes them too."""
    return len(value) == 2 and all(isinstance(item, str) for item in value) and value[0].lower() in _PAIR_ROLES


def is_mastra(item: Mapping[str, Any]) -> bool:
    """Return whether an object is the result of a Vercel or Mastra call, and not an answer that has a `text`."""
    return isinstance(item.get("text"), str) and len(item) > 1 and item.keys() <= MASTRA_KEYS
