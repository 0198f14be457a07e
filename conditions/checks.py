"""Checks of the value of a filter when it is saved: each operator refuses an unusable value and names the remedy."""

from __future__ import annotations

import json

import re2

from conditions import dates, versions
from conditions.operators import ALIASES, NEGATIVES, VALUELESS, VERSION_RANGES, alternatives, compile_pattern
from conditions.values import order, text_of

_MAX_DEPTH = 64
_SHOWN = 80  # characters of a refused value that a message repeats

_RANGE_EXAMPLES = {
    "semver_tilde": "a version such as 1.2.3, 1.2 or 1",
    "semver_caret": "a version such as 1.2.3, 0.2 or 1",
    "semver_wildcard": "a pattern such as 1.2.* or 1.*",
}


def check_value(operator: str, value: object) -> None:
    """Accept the value of a filter, or say what is wrong with it.

    Raises:
        ValueError: the message names the operator, what it needs and what it got.
    """
    if operator in VALUELESS:
        return
    if value is None:
        raise ValueError(
            f'operator "{operator}" needs a value; to ask whether the field is there, use "is_set" or "is_not_set"'
        )
    if isinstance(value, list | tuple) and not value:
        raise ValueError(f'operator "{operator}" got an empty list, which nothing can equal; give at least one value')
    if _depth_exceeds(value, _MAX_DEPTH):
        raise ValueError(
            f'operator "{operator}" got a value nested deeper than {_MAX_DEPTH} levels; give a flatter one'
        )
    family = ALIASES.get(operator, operator)
    family = NEGATIVES.get(family, family)
    if family in ("between", "not_between"):
        _check_bounds(operator, value)
        return
    for item in alternatives(value):
        _check_item(operator, family, item)


def _check_item(operator: str, family: str, item: object) -> None:
    if family == "regex":
        _check_pattern(operator, item)
    elif family.startswith("is_date_"):
        if dates.instant_of(item) is None and not dates.is_relative(item):
            raise ValueError(
                f'operator "{operator}" needs a date (2024-01-31, 2024-01-31T10:00:00Z, epoch seconds, or -7d; '
                f"units s M h d w m q y), got {shown(item)}"
            )
    elif family in VERSION_RANGES:
        if VERSION_RANGES[family](item) is None:
            raise ValueError(f'operator "{operator}" needs {_RANGE_EXAMPLES[family]}, got {shown(item)}')
    elif family.startswith("semver_") and versions.parse_version(item) is None:
        raise ValueError(f'operator "{operator}" needs a version such as 1.2.3 or v1.2.3-rc.1, got {shown(item)}')


def _check_bounds(operator: str, value: object) -> None:
    if isinstance(value, list | tuple) and len(value) == 2 and order(value[0], value[1]) in (-1, 0):
        return
    raise ValueError(f'operator "{operator}" needs [low, high] with low ≤ high, got {shown(value)}')


def _check_pattern(operator: str, item: object) -> None:
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        raise ValueError(f'operator "{operator}" needs a pattern as text, got {shown(item)}')
    try:
        compile_pattern(text_of(item))
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise ValueError(
            f'operator "{operator}" has a pattern that RE2 refuses ({reason}); RE2 has no look-around and no '
            f"back-references, got {shown(item)}"
        ) from error
    except UnicodeEncodeError as error:
        raise ValueError(f'operator "{operator}" got a pattern with half a surrogate pair, {shown(item)}') from error


def shown(value: object) -> str:
    """Return a value as a message repeats it: JSON, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _depth_exceeds(value: object, limit: int) -> bool:
    level: list[object] = [value]
    for _ in range(limit + 1):
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
