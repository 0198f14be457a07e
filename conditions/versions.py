"""Semantic versions (SemVer 2.0.0) and the ranges that the `semver_*` operators mean by one."""

from __future__ import annotations

import re

from conditions.values import text_of

Version = tuple[int, int, int, tuple[int, tuple[tuple[int, int, str], ...]]]
"""A version as a key that sorts by precedence: major, minor, patch, pre-release."""

Range = tuple[Version | None, Version | None]
"""A lower bound (inclusive) and an upper bound (exclusive); None leaves a side open. Pre-releases of the release at
the upper bound are outside."""

MAX_CHARS = 256
"""Longer texts are not read as versions."""

_NUMBER = r"(0|[1-9][0-9]{0,17})"
_IDENTIFIER = r"(?:0|[1-9][0-9]{0,17}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD = r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_VERSION = re.compile(
    rf"v?{_NUMBER}(?:\.{_NUMBER}(?:\.{_NUMBER})?)?(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?{_BUILD}", re.ASCII
)
_WILDCARD = re.compile(rf"v?(?:{_NUMBER}\.(?:{_NUMBER}\.)?)?\*(?:\.\*){{0,2}}", re.ASCII)
_RELEASE: tuple[int, tuple[tuple[int, int, str], ...]] = (1, ())
_LOWEST_PRE_RELEASE: tuple[int, tuple[tuple[int, int, str], ...]] = (0, ())

LOWEST: Version = (0, 0, 0, _LOWEST_PRE_RELEASE)
"""Sorts before every version."""


def parse_version(value: object) -> Version | None:
    """Return the version that a string, or the text of a number, names; None if it is not a version.

    An optional `v` is skipped, missing parts count as 0, and build metadata does not count. A part with a leading
    zero is not a version, as SemVer has it, and neither is a text of more than `MAX_CHARS` characters.
    """
    match = _match(value)
    return None if match is None else _version_of(match)


def _match(value: object) -> re.Match[str] | None:
    # A boolean is an int, but neither of its texts is a version.
    if not isinstance(value, str | int | float):
        return None
    text = text_of(value)
    return _VERSION.fullmatch(text) if len(text) <= MAX_CHARS else None


def _version_of(match: re.Match[str]) -> Version:
    major, minor, patch, pre_release = match.groups()
    return int(major), int(minor or 0), int(patch or 0), _pre_release_key(pre_release)


def _pre_release_key(pre_release: str | None) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    if pre_release is None:
        return _RELEASE
    # Numbers sort before words, numbers by value, words by ASCII, and a shorter list before a longer one.
    return 0, tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre_release.split("."))


def _release(major: int, minor: int = 0, patch: int = 0) -> Version:
    return major, minor, patch, _RELEASE


def _before(major: int, minor: int = 0, patch: int = 0) -> Version:
    """Return the upper bound of a range that ends before this release and before all its pre-releases."""
    return major, minor, patch, _LOWEST_PRE_RELEASE


def tilde_range(value: object) -> Range | None:
    """`1.2.3` → [1.2.3, 1.3.0), `1.2` → [1.2.0, 1.3.0), `1` → [1.0.0, 2.0.0); None if it is not a version."""
    match = _match(value)
    if match is None:
        return None
    low = _version_of(match)
    return low, _before(low[0] + 1) if match[2] is None else _before(low[0], low[1] + 1)


def caret_range(value: object) -> Range | None:
    """`1.2.3` → [1.2.3, 2.0.0), `0.2.3` → [0.2.3, 0.3.0), `0.0.3` → [0.0.3, 0.0.4); None if it is not a version.

    The first part that is not 0 is raised; if all that are given are 0, the last one given (`0.0` → 0.1.0).
    """
    match = _match(value)
    if match is None:
        return None
    low = _version_of(match)
    if low[0] or match[2] is None:
        return low, _before(low[0] + 1)
    if low[1] or match[3] is None:
        return low, _before(0, low[1] + 1)
    return low, _before(0, 0, low[2] + 1)


def wildcard_range(value: object) -> Range | None:
    """`1.2.*` → [1.2.0, 1.3.0), `1.*` → [1.0.0, 2.0.0), `*` → any; None if it is not such a pattern."""
    match = _WILDCARD.fullmatch(value) if isinstance(value, str) and len(value) <= MAX_CHARS else None
    if match is None:
        return None
    if match[1] is None:
        return None, None
    major = int(match[1])
    if match[2] is None:
        return _release(major), _before(major + 1)
    return _release(major, int(match[2])), _before(major, int(match[2]) + 1)


def in_range(version: Version, span: Range) -> bool:
    """Tell whether `version` lies in the range, by precedence alone."""
    low, high = span
    return (low is None or version >= low) and (high is None or version < high)
