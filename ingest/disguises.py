"""Ways in which a text hides from a pattern what people and models still read in it.

Every function is linear in the text. None of them decodes more than one level, because a secret that its owner hides on
purpose cannot be found; these are the forms in which clients and models write by themselves.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import re2

_LAST_FOLDED = 0x20000
"""Compatibility forms and digits of other scripts lie below; the planes above hold ideographs."""
_INVISIBLE = (0xAD, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF)
_find_escapes = re2.compile(r"\\+u00[2-7][0-9a-fA-F]")
_KEPT_ESCAPES = ('"', "\\")
_find_base64 = re2.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def plain_characters(text: str) -> str:
    """Return a text with ASCII for full-width letters, digits of any script, and other dashes and blanks.

    Invisible characters are left out.
    """
    return text if text.isascii() else text.translate(_folds())


@cache
def _folds() -> dict[int, str | None]:
    found: dict[int, str | None] = {}
    for code in range(0x80, _LAST_FOLDED):
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Nd":
            found[code] = str(unicodedata.decimal(char))
        elif category == "Pd":
            found[code] = "-"
        else:
            plain = unicodedata.normalize("NFKC", char)
            if plain.isascii():
                found[code] = plain
    found.update(dict.fromkeys(_INVISIBLE))
    return found


def unescaped(text: str) -> str:
    r"""Return a text that may hold JSON with characters in the place of escapes such as `\u0040`, however nested."""
    if "u00" not in text or "\\" not in text:
        return text
    found: str = _find_escapes.sub(_character, text)
    return found


def _character(match: Any) -> str:
    escape: str = match.group(0)
    char = chr(int(escape[-2:], 16))
    return escape if char in _KEPT_ESCAPES else char


def in_base64(text: str, clean: Callable[[str], str]) -> str:
    """Return a text in whose pieces of base64 `clean` has been applied to the texts that they encode."""

    def cleaned(match: Any) -> str:
        piece: str = match.group(0)
        inner = _decoded(piece)
        if inner is None:
            return piece
        changed = clean(inner)
        return piece if changed == inner else base64.b64encode(changed.encode("utf-8", "replace")).decode()

    found: str = _find_base64.sub(cleaned, text)
    return found


def _decoded(piece: str) -> str | None:
    packed = piece.rstrip("=").encode().translate(_URL_SAFE)
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
