"""Finds the code in a Markdown text: fenced blocks, and spans between backticks in a line. Single pass."""

from __future__ import annotations

from bisect import bisect_right

Span = tuple[int, int]


def code_spans(text: str) -> list[Span]:
    """Return the (start, end) of each piece of code, in order. A fence that is not closed runs to the end."""
    spans: list[Span] = []
    fence, begun, place = "", 0, 0
    for line in text.split("\n"):
        plain = line.lstrip(" \t>")
        mark = plain[:3]
        if fence:
            if mark == fence and not plain.strip(fence[0] + " \t\r"):
                spans.append((begun, place + len(line)))
                fence = ""
        elif mark in ("```", "~~~") and "`" not in plain.lstrip("`"):
            fence, begun = mark, place
        elif "`" in line:
            spans += _inline(line, place)
        place += len(line) + 1
    return [*spans, (begun, len(text))] if fence else spans


def _inline(line: str, place: int) -> list[Span]:
    """Return the spans between runs of backticks, the first with the second and so on."""
    runs: list[Span] = []
    start = line.find("`")
    while start >= 0:
        end = start + 1
        while line[end : end + 1] == "`":
            end += 1
        runs.append((start, end))
        start = line.find("`", end)
    return [(place + first[0], place + last[1]) for first, last in zip(runs[::2], runs[1::2], strict=False)]


def is_within(spans: list[Span], place: int) -> bool:
    """Return whether a place of the text stands in one of its spans."""
    at = bisect_right(spans, place, key=lambda span: span[0]) - 1
    return at >= 0 and place < spans[at][1]
