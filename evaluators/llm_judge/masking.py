"""Provider texts as they can be shown: short, on one line, without anything that may be a secret."""

from __future__ import annotations

import math
from collections import Counter

import re2

from evaluators.llm_judge.output import printable

MAX_SHOWN_CHARS = 250
_READ_CHARS = 2_000
"""Characters of a text that are looked at; a provider's message of more is shown by its beginning."""
_MASK = "[key]"
_TOKEN = re2.compile(r"[A-Za-z0-9_\-+/=*.~]{16,}")
_KNOWN = re2.compile(
    r"\b(?:sk|key|pk|rk|gsk|AIza|fw|tgp|xai|hf|ghp|r8)[-_][\w*\-]{6,}|AIza[\w\-]{8,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|(?i:bearer)\s+\S+"
)
_MIN_BITS_PER_CHAR = 3.4
"""Words and model names stay below it, random texts of 16 and more characters above."""
_CERTAIN_CHARS = 40
"""A text of this length without a space is masked when it mixes letters and digits."""


def shown(text: str) -> str:
    """Return the beginning of a provider's text on one line, with all that may be a key masked. Linear time."""
    line = printable(" ".join(text[:_READ_CHARS].split()))
    line = _KNOWN.sub(_MASK, line)
    return str(_TOKEN.sub(lambda found: _MASK if _is_secret(found[0]) else found[0], line))[:MAX_SHOWN_CHARS]


def _is_secret(token: str) -> bool:
    """Whether a text without spaces is random enough to be a key: by length, kinds of characters and entropy."""
    core = token.strip("*.=-_/")
    if any("*" in part for part in (token, core)) and len(core) >= 8:
        return True  # a key that the provider itself masked in the middle
    digits = sum(char.isdigit() for char in core)
    letters = sum(char.isalpha() for char in core)
    if len(core) < 16 or digits < 3 or letters < 3:
        return False
    if len(core) >= _CERTAIN_CHARS and "/" not in core:
        return True
    longest_run = max(map(len, _split(core)), default=0)
    return longest_run >= 16 and _bits_per_char(core) >= _MIN_BITS_PER_CHAR


def _split(token: str) -> list[str]:
    for mark in "-_/.":
        token = token.replace(mark, " ")
    return token.split()


def _bits_per_char(token: str) -> float:
    counts = Counter(token).values()
    return -sum(count / len(token) * math.log2(count / len(token)) for count in counts)
