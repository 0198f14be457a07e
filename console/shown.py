"""Figures and texts of strangers as pages write them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from markupsafe import Markup, escape

PREVIEW = 200
_THOUSAND, _MILLION = 1_000, 1_000_000
_KEPT = frozenset("\n\t")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def count(number: float | None) -> str:
    """Return `12 345`, with thin spaces."""
    return "–" if number is None else f"{round(number):,}".replace(",", "\u202f")


def percent(share: float | None) -> str:
    """Return `93.4 %`, or a dash for no share."""
    return "–" if share is None else f"{share * 100:.1f}\u202f%"


def usd(amount: float | None) -> str:
    """Return `$0.0123`: four digits below a dollar, two above."""
    if amount is None:
        return "–"
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def rate(per_second: float | None) -> str:
    """Return `12/s`, per minute or per hour if that is less than one a second, or a dash for no rate."""
    if not per_second:
        return "–"
    if per_second >= 1:
        return f"{count(per_second)}/s"
    return f"{count(per_second * 60)}/min" if per_second * 60 >= 1 else f"{per_second * 3_600:.1f}/h"


def seconds(duration: float | None) -> str:
    """Return `1.24 s`."""
    return "–" if duration is None else f"{duration:.2f}\u202fs"


def medium(found: Any) -> str:
    """Return the type and the size of a medium, whether it is a link, and what of this is not known."""
    kind, length, link = ("", None, "") if found is None else (found.type, found.size_bytes, found.link)
    missing = [name for name, value in (("type", kind or None), ("size", length)) if value is None]
    known = [kind, "" if length is None else size(length), "a link" if link else ""]
    return ", ".join(filter(None, [*known, f"{' and '.join(missing)} unknown" if missing else ""]))


def size(number: int) -> str:
    """Return a number of bytes as `12.3 kB`, in powers of 1000."""
    if number < _THOUSAND:
        return f"{number}\u202fbytes"
    return f"{number / _THOUSAND:.1f}\u202fkB" if number < _MILLION else f"{number / _MILLION:.1f}\u202fMB"


def brief(text: str, limit: int = PREVIEW) -> str:
    """Return one line of a text, cut at `limit` characters."""
    line = " ".join(text[: limit * 4].split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def words(name: str) -> str:
    """Return an identifier as words: `hog_error` as `hog error`."""
    return name.replace("_", " ")


def answer(verdict: Mapping[str, Any]) -> str:
    """Return a stored verdict, of a person or of a version, in a word or two."""
    if verdict.get("unsure"):
        return "unsure"
    if not verdict.get("applicable", True):
        return "N/A"
    if "score" in verdict:
        return f"{verdict['score']:g}"
    return ", ".join(verdict["categories"]) if "categories" in verdict else str(verdict.get("result", "–")).lower()


def figure(found: Any, *, share: bool = True) -> str:
    """Return a figure with its interval, or how many labels it lacks."""
    if found is None or (found.value is None and found.too_few is None):
        return "–"
    if found.value is None:
        return f"{found.too_few} more labels needed"
    write = percent if share else _decimal
    interval = f" ({write(found.low)} to {write(found.high)})" if found.low is not None else ""
    return f"{write(found.value)}{interval}"


_LABELS = {"labelled_pass": "of judged passes", "labelled_fail": "of judged fails", "labelled": "in all"}


def lacking(missing: Mapping[str, int]) -> str:
    """Return which labels a refused figure lacks."""
    named = (f"{number} {_LABELS.get(name, f'of {words(name)}')}" for name, number in missing.items() if number)
    text = ", ".join(named)
    return f"; more labels needed: {text}" if text else ""


def _decimal(number: float | None) -> str:
    if number is None:
        return "–"
    if 1e-9 < abs(number) < 0.01:  # a run costs a part of a cent; less is what floats leave of zero
        return f"{Decimal(f'{number:.2g}'):f}"
    return f"{number:.3f}"


def visible(text: str) -> Markup:
    """Return a text in which characters that hide, or that turn the direction of writing, are seen.

    Each becomes a mark with its code point, so that a stranger's text cannot look like another one.
    """
    if text.isascii() and text.isprintable():
        return escape(text)
    return Markup("").join(_pieces(text))


def _pieces(text: str) -> Iterable[Markup]:
    plain: list[str] = []
    for character in text:
        if not _hides(character):
            plain.append(character)
            continue
        yield escape("".join(plain))
        plain.clear()
        yield Markup('<span class="hidden-char" title="{}">{}</span>').format(
            unicodedata.name(character, "control character"), f"U+{ord(character):04X}"
        )
    yield escape("".join(plain))


def _hides(character: str) -> bool:
    if character in _KEPT or character.isprintable():
        return character in _BIDI
    # Line separators and unusual blanks are not printable for Python either, and do no harm.
    return unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Cn")
