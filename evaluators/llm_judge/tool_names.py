"""Tells calls of our tool from calls of another one, under the names that models and gateways give to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluators.llm_judge.output import SCHEMA_NAME

_NAMESPACES = frozenset({"functions", "function", "tools", "tool", "default_api"})
"""Words that stand before the name: `functions.` (Kimi, gpt-oss), `default_api.` or `default_api:` (Gemini)."""
_RENAMED = frozenset({"jsontoolcall"})
"""LiteLLM's `json_tool_call`, as which it asks Anthropic and Bedrock for an answer in a format."""
_NAMING = ("name", "tool_name", "toolName", "tool", "function_name", "functionName", "recipient_name", "action")
_INNER = ("function", "custom", "functionCall", "function_call", "toolUse", "tool_use", "toolCall", "tool_call")
ARGUMENTS = ("arguments", "input", "args", "parameters")
_CHARS = 200


def is_our_tool(name: object) -> bool:
    """Return whether a call of this name is a call of our tool; a call without a name is one, because we offer one."""
    if name is None or name == "":
        return True
    if not isinstance(name, str):
        return False
    text = name[:_CHARS].partition("<|")[0].strip()  # gpt-oss adds its channel, such as `name<|channel|>commentary`
    start, _, number = text.rpartition(":")
    if start and number.isascii() and number.isdigit():  # Kimi adds the number of the call
        text = start
    for separator in (".", ":"):
        namespace, found, last = text.rpartition(separator)
        if found and namespace in _NAMESPACES:
            text = last
    word = _word(text)
    return word == _word(SCHEMA_NAME) or word in _RENAMED


def _word(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def inner_call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object with the arguments of a call: one inside it, or the call itself."""
    return next((call[key] for key in _INNER if isinstance(call.get(key), Mapping)), call)


def is_our_call(call: Mapping[str, Any]) -> bool:
    """Return whether all that a call says of its name is the name of our tool."""
    names = [level.get(key) for level in (call, inner_call(call)) for key in _NAMING]
    names += [call[key] for key in _INNER if isinstance(call.get(key), str)]
    return all(map(is_our_tool, names))
