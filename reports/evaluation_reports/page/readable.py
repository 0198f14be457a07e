"""Texts of strangers made fit to be read: bounded, without control characters, and in one direction.

A reasoning may hold anything: a million characters, HTML, control characters, marks that reverse the direction of text.
The template escapes HTML. This module takes out the characters that no escaping helps against.
"""

from __future__ import annotations

import unicodedata

MAX_CHARS = 1_000
_KEPT = frozenset("\n\t\u200c\u200d")  # line ends, and the joiners that scripts and emoji need


def readable(text: object, max_chars: int = MAX_CHARS) -> str:
    """Return a text without control characters and direction marks, cut after `max_chars`. Linear in `max_chars`."""
    whole = str(text)
    shown = "".join(_shown(char) for char in whole[:max_chars])
    return shown + "…" if len(whole) > max_chars else shown


def one_line(text: object, max_chars: int = 200) -> str:
    """Return a text as `readable` does, on one line. Spaces that do not break stay."""
    line = readable(text, max_chars).replace("\n", " ").replace("\t", " ")
    return " ".join(part for part in line.split(" ") if part)


def _shown(char: str) -> str:
    if char in _KEPT or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return char
    return " " if char in "\r\v\f\u0085\u2028\u2029" else ""
