"""Reads a tool call that leaked into the text as tags, one for each argument (Qwen, GLM, MiniMax)."""

from __future__ import annotations

import json
from typing import Any

from evaluators.llm_judge.output import SCHEMA_NAME
from evaluators.llm_judge.thinking import is_markup

_MAX_ARGUMENTS = 20
_STYLES = (
    ("<parameter=", ">", "</parameter>"),
    ('<parameter name="', '">', "</parameter>"),
    ("<arg_key>", "</arg_key>", "</arg_value>"),
)
"""Beginning of an argument, end of its name, end of its value."""
_VALUE_TAG = "<arg_value>"


def leaked_arguments(text: str) -> dict[str, Any] | None:
    """Return the arguments of the call that a text consists of; None if it is anything else. Linear time."""
    if SCHEMA_NAME not in text:
        return None
    for opening, name_end, value_end in _STYLES:
        first = text.find(opening)
        if first >= 0 and is_markup(text[:first]):
            return _arguments(text[first:], opening, name_end, value_end)
    return None


def _arguments(rest: str, opening: str, name_end: str, value_end: str) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for _ in range(_MAX_ARGUMENTS):
        if not rest.startswith(opening):
            return found if is_markup(rest) else None
        name, named, rest = rest[len(opening) :].partition(name_end)
        value, ended, rest = rest.partition(value_end)
        name = name.strip()
        if not (named and ended) or name in found or opening in value:
            return None
        found[name] = _value(name, value.strip().removeprefix(_VALUE_TAG).strip())
        rest = rest.lstrip()
    return None


def _value(name: str, text: str) -> Any:
    """Return an argument as JSON if it is JSON; reasoning is text whatever it looks like."""
    if name == "reasoning":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
