"""Holds a written text to the figures: every number in it must be one of theirs.

A number is one of theirs if some figure, rounded to as many decimals as the text writes, is that number: 0.8342 may be
written as 83 %, 83.4 % or 0.83. Signs are ignored, because a text says "fell by 4 points". Digits may also be part of a
name that the figures have, such as gpt-5 or the id of a generation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import floor, isfinite
from typing import Any

_MAX_TEXT_CHARS = 20_000
_SEPARATORS = ",\u00a0\u202f'’"
_WORDS = frozenset(
    {
        "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "dozen", "dozens",
        "hundred", "hundreds", "thousand", "thousands", "million", "millions", "half", "halved", "doubled", "tripled",
        "twice", "thrice", "third", "quarter",
    }
)  # fmt: skip


def unknown_numbers(text: str, figures: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return the numbers of `text` that are not in `figures`, as they are written; at most 20. Linear in the text.

    Numbers in words count too, because a text must not say "twice as many" where no figure does.

    Args:
        names: words that may hold digits: models, ids, dates. A name has a letter or a hyphen, so no name makes a plain
            number known.
    """
    values = set(_values(figures))
    given = list(names)
    known = {word for name in given for word in map(_bare, name.split()) if not _is_plain_number(word)}
    rest = text[:_MAX_TEXT_CHARS]
    for name in given:
        if " " in name and any(char.isalpha() for char in name):
            rest = rest.replace(name, " ")
    words = (word for raw in map(_bare, _spaced(rest)) for word in _parts(raw, known))
    return [word for word in words if not _is_known(word, values, known)][:20]


def _is_known(word: str, values: set[float], names: set[str]) -> bool:
    if word in names:
        return True
    if word.isalpha():
        return word.lower() not in _WORDS
    if not any(char.isnumeric() for char in word):
        return True
    if not _is_plain_number(word):
        return False
    plain = _plain(word)
    decimals = len(plain.partition(".")[2])
    scales = (100.0,) if word.endswith(("%", "pp")) else (1.0, 100.0)
    return any(_rounds_to(value * scale, decimals, float(plain)) for value in values for scale in scales)


def _is_plain_number(word: str) -> bool:
    plain = _plain(word)
    return plain.isascii() and plain.replace(".", "", 1).isdigit()


def _plain(word: str) -> str:
    plain = word.rstrip("%px").lstrip("+-−–$€~<>=≈")
    for mark in _SEPARATORS:
        plain = plain.replace(mark, "")
    return plain


def _rounds_to(value: float, decimals: int, written: float) -> bool:
    factor = 10.0**decimals
    scaled = abs(value) * factor
    return abs(floor(scaled + 0.5) / factor - written) < 1e-9 or abs(round(scaled) / factor - written) < 1e-9


def _spaced(text: str) -> list[str]:
    joined = text.replace("\u202f", "").replace("\u00a0%", "%").replace(" %", "%")
    return joined.replace("–", " ").replace("—", " ").replace("/", " ").split()


def _bare(raw: str) -> str:
    """Return a word without the punctuation around it."""
    return unicodedata.normalize("NFKC", raw).strip('()[]{}"“”„‘’*_`.,;:!?#')


def _parts(word: str, names: set[str]) -> Sequence[str]:
    """Return a word, or the numbers of a range such as 80-90."""
    if word in names or not word.replace("-", "").replace(".", "").replace("%", "").isdigit():
        return (word,) if word else ()
    return [each for each in word.split("-") if each]


def _values(figures: Any) -> Iterator[float]:
    if isinstance(figures, bool) or figures is None:
        return
    if isinstance(figures, int | float):
        if isfinite(figures):
            yield float(figures)
    elif isinstance(figures, Mapping):
        for each in figures.values():
            yield from _values(each)
    elif isinstance(figures, Iterable) and not isinstance(figures, str):
        for each in figures:
            yield from _values(each)
