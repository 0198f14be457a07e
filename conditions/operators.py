"""The operators: their names, what each demands of a filter's value, and when each holds.

`holds` is the executable form of the specification. It is written for reading; the compiled matcher
(`conditions.compiled.compiler`) must say the same of every value, which a property test shows.
"""

from __future__ import annotations

import operator as compare
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import re2

from conditions import dates, versions
from conditions.values import equal, folded, order, text_of

Operator = Literal[
    "exact",
    "is_not",
    "in",
    "not_in",
    "is_cleaned_path_exact",
    "is_set",
    "is_not_set",
    "icontains",
    "not_icontains",
    "icontains_multi",
    "not_icontains_multi",
    "starts_with",
    "not_starts_with",
    "ends_with",
    "not_ends_with",
    "regex",
    "not_regex",
    "gt",
    "gte",
    "lt",
    "lte",
    "min",
    "max",
    "between",
    "not_between",
    "is_date_exact",
    "is_date_before",
    "is_date_after",
    "semver_eq",
    "semver_neq",
    "semver_gt",
    "semver_gte",
    "semver_lt",
    "semver_lte",
    "semver_tilde",
    "semver_caret",
    "semver_wildcard",
]

ALIASES: dict[str, str] = {
    "in": "exact",
    "is_cleaned_path_exact": "exact",
    "not_in": "is_not",
    "icontains_multi": "icontains",
    "not_icontains_multi": "not_icontains",
    "min": "gte",
    "max": "lte",
}
"""Operators that are another one under a second name."""

NEGATIVES: dict[str, str] = {
    "is_not": "exact",
    "is_not_set": "is_set",
    "not_icontains": "icontains",
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "not_regex": "regex",
    "semver_neq": "semver_eq",
}
"""Operators that hold exactly when another one does not. They hold for an absent field, and in a list for none."""

VALUELESS = frozenset({"is_set", "is_not_set"})
"""Operators that take no value."""

LISTS = frozenset({"in", "not_in", "icontains_multi", "not_icontains_multi"})
"""Operators whose value is meant as a list; a single value is a list of one."""


def holds(operator: str, x: object, value: object, now: int | None) -> bool:
    """Tell whether a filter holds.

    Args:
        operator: any of `Operator`.
        x: the field's value, None if it is absent.
        value: the filter's value, as it was accepted at save.
        now: the event's own time in microseconds since 1970, None if it has none; for relative dates.
    """
    operator = ALIASES.get(operator, operator)
    if operator in NEGATIVES:
        return not holds(NEGATIVES[operator], x, value, now)
    if x is None:
        return False
    if operator == "is_set":
        return True
    if operator == "between":
        low, high = _bounds(value)
        return order(x, low) in (0, 1) and order(x, high) in (-1, 0)
    if operator == "not_between":
        low, high = _bounds(value)
        return order(x, low) == -1 or order(x, high) == 1
    return any(_holds_of_one(operator, x, v, now) for v in alternatives(value))


def _bounds(value: object) -> tuple[object, object]:
    if not isinstance(value, list | tuple):
        raise TypeError("bounds are checked when a filter is made")
    return value[0], value[1]


def _holds_of_one(operator: str, x: object, v: object, now: int | None) -> bool:
    if operator in _DATES:
        instant, wanted = dates.instant_of(x), dates.resolve(v, now)
        return instant is not None and wanted is not None and _DATES[operator](instant, wanted)
    if operator in _VERSIONS:
        version, other = versions.parse_version(x), versions.parse_version(v)
        return version is not None and other is not None and _VERSIONS[operator](version, other)
    if operator in VERSION_RANGES:
        version, span = versions.parse_version(x), VERSION_RANGES[operator](v)
        return version is not None and span is not None and versions.in_range(version, span)
    return _VALUES[operator](x, v)


def alternatives(value: object) -> Sequence[object]:
    """Return the values of which any will do: those of a list, or the one value."""
    return value if isinstance(value, list | tuple) else (value,)


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Any:
    """Return the RE2 program of a pattern.

    Raises:
        re2.error: RE2 refuses it; says why.
        UnicodeEncodeError: it holds a lone surrogate.
    """
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # only whether it matches is asked
    return re2.compile(pattern, options)


def text_bytes(text: str) -> bytes:
    """Return what RE2 searches; a lone surrogate has no strict UTF-8 form and keeps its three bytes."""
    return text.encode("utf-8", "surrogatepass")


_VALUES: dict[str, Callable[[object, object], bool]] = {
    "exact": equal,
    "icontains": lambda x, v: folded(text_of(v)) in folded(text_of(x)),
    "starts_with": lambda x, v: folded(text_of(x)).startswith(folded(text_of(v))),
    "ends_with": lambda x, v: folded(text_of(x)).endswith(folded(text_of(v))),
    "regex": lambda x, v: compile_pattern(text_of(v)).search(text_bytes(text_of(x))) is not None,
    "gt": lambda x, v: order(x, v) == 1,
    "gte": lambda x, v: order(x, v) in (0, 1),
    "lt": lambda x, v: order(x, v) == -1,
    "lte": lambda x, v: order(x, v) in (-1, 0),
}
_DATES: dict[str, Callable[[int, int], bool]] = {
    "is_date_exact": compare.eq,
    "is_date_before": compare.lt,
    "is_date_after": compare.gt,
}
_VERSIONS: dict[str, Callable[[versions.Version, versions.Version], bool]] = {
    "semver_eq": compare.eq,
    "semver_gt": compare.gt,
    "semver_gte": compare.ge,
    "semver_lt": compare.lt,
    "semver_lte": compare.le,
}
VERSION_RANGES: dict[str, Callable[[object], versions.Range | None]] = {
    "semver_tilde": versions.tilde_range,
    "semver_caret": versions.caret_range,
    "semver_wildcard": versions.wildcard_range,
}
"""Operators whose value names a range of versions, and how it is read."""
