"""Tells whether the judged text holds an answer: a judge that repeats it has quoted, and not answered.

Two texts are the same answer if they have the same letters and digits in the same order, so that white space, escapes,
quotation marks, capitals, trailing commas, YAML and Python's literals make no difference. Linear time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evaluators.llm_judge.transcript import Transcript

_ESCAPES = ("\\n", "\\r", "\\t", "\\b", "\\f")
_HEX = frozenset("0123456789abcdefABCDEF")
_REASONING = "reasoning"
_WORDS_CHARS = 500


def is_quoted(answer: Mapping[str, Any], field: str, judged: Transcript) -> bool:
    """Return whether the judged text holds the reasoning and the verdict of an answer side by side.

    Args:
        field: the name of the answer's field that holds the verdict.
    """
    forms = _forms(answer, field)
    words = (_REASONING, field, _longest_word(str(answer.get(_REASONING, ""))))
    parts = (judged.output, *judged.messages, *judged.tools)
    return any(form in bare for part in parts for bare in _bare(part, words) for form in forms)


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


def _longest_word(text: str) -> str:
    """Return the longest word of letters and digits in the beginning of a text."""
    beginning = _unescaped(text[:_WORDS_CHARS]).lower()
    spaced = "".join(char if char.isalnum() else " " for char in beginning)
    return max(spaced.split()[:-1] or [""], key=len)  # the last word may be cut


def _bare(part: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the letters of a part of the judged text; nothing if it lacks one of the words, as nearly all texts do."""
    small = part.lower()
    needed = words if "\\u" not in small else words[:-1]  # escaped letters hide a word
    return (_letters(part),) if all(word in small for word in needed) else ()


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, _unescaped(text).lower()))


def _unescaped(text: str) -> str:
    """Return a text with the escapes of JSON undone, however often they were escaped; other marks may go wrong."""
    if "\\" not in text:
        return text
    head, *rest = text.split("\\u")
    text = "".join([head, *map(_decoded, rest)])
    for escape in _ESCAPES:
        text = text.replace(escape, " ")
    return text


def _decoded(piece: str) -> str:
    digits = piece[:4]
    return chr(int(digits, 16)) + piece[4:] if len(digits) == 4 and _HEX.issuperset(digits) else piece
