"""JSON text of any decoded value, however deeply it is nested, and values from JSON that somebody logged as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

MAX_ENCODINGS = 3
"""How often a text may be JSON within JSON."""

_decode = msgspec.json.decode


def to_json(value: Any, *, blanks: bool = False) -> str:
    """Return JSON of any decoded JSON value, however deeply it is nested; compact, or with blanks as `json` writes."""
    comma, colon = (", ", ": ") if blanks else (",", ":")
    try:
        # No decoded value holds itself, and the check for it takes a fifth to a half of the time.
        return json.dumps(value, ensure_ascii=False, separators=(comma, colon), default=str, check_circular=False)
    except RecursionError:
        return "".join(_json_pieces(value, comma, colon))


def from_json(text: str) -> Any:
    """Return the array or object that `text` is the JSON of, also if it was encoded several times; else None."""
    value: Any = text
    for _ in range(MAX_ENCODINGS):
        if not isinstance(value, str):
            break
        stripped = value.strip()
        if not stripped or stripped[0] + stripped[-1] not in ("[]", "{}", '""'):
            return None
        try:
            value = _decode(stripped)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return None
    return value if isinstance(value, list | dict) else None


def _json_pieces(value: Any, comma: str = ",", colon: str = ":") -> Iterable[str]:
    """Yield JSON piece by piece without recursion, for values nested deeper than the interpreter's stack."""
    closing = object()
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, tuple) and len(item) == 2 and item[0] is closing:
            yield item[1]
        elif isinstance(item, Mapping):
            yield "{"
            stack.append((closing, "}"))
            for position, (key, inner) in reversed(list(enumerate(item.items()))):
                stack.append(inner)
                stack.append((closing, (comma if position else "") + json.dumps(str(key), ensure_ascii=False) + colon))
        elif isinstance(item, list | tuple):
            yield "["
            stack.append((closing, "]"))
            for position, inner in reversed(list(enumerate(item))):
                stack.append(inner)
                if position:
                    stack.append((closing, comma))
        else:
            yield json.dumps(item, ensure_ascii=False, default=str)
