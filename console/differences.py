"""Two definitions side by side, field by field and line by line."""

from __future__ import annotations

import difflib
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_MAX_LINES = 4_000
_MAX_PAIRS = 40_000
"""Pairs of lines that are compared at once: 200 lines with 200."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a comparison. `kind` is empty for a line that both have."""

    left: str
    right: str
    kind: str


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[tuple[str, list[Line]]]:
    """Return the fields whose values differ, with their lines side by side."""
    found = []
    for name in dict.fromkeys((*left, *right)):
        before, after = as_lines(name, left.get(name)), as_lines(name, right.get(name))
        if before != after:
            found.append((name, list(side_by_side(before, after))))
    return found


def as_lines(name: str, value: Any) -> list[str]:
    """Return a field of a definition as lines: code and criteria as they are, anything else as JSON."""
    if name == "evaluation_config" and isinstance(value, dict):
        return str(value.get("prompt") or value.get("source") or "").splitlines()[:_MAX_LINES]
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()[:_MAX_LINES]


def side_by_side(before: list[str], after: list[str]) -> Iterator[Line]:
    """Yield the lines side by side; runs of equal lines are kept whole, because definitions are short."""
    for kind, left, right in _pieces(before, after):
        for place in range(max(len(left), len(right))):
            yield Line(left[place] if place < len(left) else "", right[place] if place < len(right) else "", kind)


def _pieces(before: list[str], after: list[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield runs of lines that are the same on both sides (kind empty), or that are `changed`.

    The time of `difflib` grows with the third power of the lines where they repeat in a pattern. So lines that occur
    once on each side divide long texts first, and a long part without such lines is shown as changed from end to end.
    """
    if len(before) * len(after) <= _MAX_PAIRS:
        for kind, a1, a2, b1, b2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            yield "" if kind == "equal" else "changed", before[a1:a2], after[b1:b2]
        return
    anchors = _anchors(before, after)
    if not anchors:
        yield "changed", before, after
        return
    start = (0, 0)
    for left, right in anchors:
        yield from _pieces_between(before[start[0] : left], after[start[1] : right])
        yield "", [before[left]], [after[right]]
        start = left + 1, right + 1
    yield from _pieces_between(before[start[0] :], after[start[1] :])


def _pieces_between(before: list[str], after: list[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    if len(before) * len(after) <= _MAX_PAIRS:
        yield from _pieces(before, after)
    else:
        yield "changed", before, after


def _anchors(before: list[str], after: list[str]) -> list[tuple[int, int]]:
    """Return the places of the longest run of lines that occur once on each side, in the same order on both.

    Source: patience diff (B. Cohen); the run is a longest increasing subsequence.
    """
    counts = Counter(before), Counter(after)
    places = {line: place for place, line in enumerate(after) if counts[1][line] == 1}
    pairs = [(place, places[line]) for place, line in enumerate(before) if counts[0][line] == 1 and line in places]
    tops: list[int] = []
    ends: list[int] = []
    behind: list[int] = []
    for number, (_, right) in enumerate(pairs):
        at = bisect_left(tops, right)
        behind.append(ends[at - 1] if at else -1)
        tops[at : at + 1] = [right]
        ends[at : at + 1] = [number]
    found: list[tuple[int, int]] = []
    last = ends[-1] if ends else -1
    while last >= 0:
        found.append(pairs[last])
        last = behind[last]
    return found[::-1]
