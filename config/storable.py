"""Checks that every supported database can hold a text or a number."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Path = tuple[str | int, ...]


def is_storable(text: str) -> bool:
    """Whether every database can hold the text: no NUL and no half of a surrogate pair."""
    return _UNSTORABLE.search(text) is None


def find_unstorable(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield where a value cannot be stored as JSON, and why."""
    if isinstance(value, str):
        if not is_storable(value):
            yield path, "Holds a NUL or half a surrogate pair, which no database stores; remove it."
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"{value} is not a finite number; use one."
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from find_unstorable(key, (*path, str(key)))
            yield from find_unstorable(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from find_unstorable(inner, (*path, index))
