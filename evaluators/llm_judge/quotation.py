"""Tells whether the judged text holds an answer: a judge that repeats it has quoted, and not answered.

Two texts are the same answer if they have the same letters and digits in the same order, so that white space, escapes,
quotation marks, capitals, trailing commas, YAML and Python's literals make no difference. Linear time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import re2

from evaluators.llm_judge.output import printable
from evaluators.llm_judge.prompt import Transcript

_ESCAPE = re2.compile(r"\\+(?:u([0-9a-fA-F]{4})|[nrtbf])")
_BETWEEN = re2.compile(r"[^\pL\pM\pN]+")
_REASONING = "reasoning"


def is_quoted(answer: Mapping[str, Any], field: str, judged: Transcript) -> bool:
    """Return whether the judged text holds the reasoning and the verdict of an answer side by side.

    Args:
        field: the name of the answer's field that holds the verdict.
    """
    forms = _forms(answer, field)
    parts = (judged.output, *judged.messages, *judged.tools)
    return any(form in bare for part in parts for bare in _bare(part, field) for form in forms)


def _forms(answer: Mapping[str, Any], field: str) -> set[str]:
    """Return the answer in the forms in which a text may hold it: whole, and its two fields in either order."""
    reasoning = _REASONING + _letters(str(answer.get(_REASONING, "")))
    verdicts = [field + _letters(text) for text in _texts(answer[field])]
    forms = {_letters(json.dumps(answer, ensure_ascii=False)), *(reasoning + verdict for verdict in verdicts)}
    if reasoning != _REASONING:  # without words the other order would be the beginning of any answer
        forms.update(verdict + reasoning for verdict in verdicts)
    return forms


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return "null", "None"
    if isinstance(value, float) and value.is_integer():
        return str(value), str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), f"{value}.0"
    return (json.dumps(value, ensure_ascii=False),)


def _bare(part: str, field: str) -> tuple[str, ...]:
    """Return the letters of a part of the judged text; nothing if it does not name both fields."""
    small = part.lower()
    return (_letters(part),) if _REASONING in small and field in small else ()


def _letters(text: str) -> str:
    found = _ESCAPE.sub(lambda hit: printable(chr(int(hit[1], 16))) if hit[1] else "", printable(text))
    return str(_BETWEEN.sub("", found)).casefold()
