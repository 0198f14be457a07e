"""Counts as bars: stacked over time, or by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from console.charts.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    drawing,
    nice_top,
    rectangle,
    text,
    time_axis,
    value_axis,
)

_ROW = 26
_LABEL = 180


@dataclass(frozen=True, slots=True)
class Stack:
    """One stretch of time with counts by series, in the order of the series."""

    start: datetime
    end: datetime
    label: str
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of thing that is counted, with the class that colours it."""

    name: str
    kind: str


def stacked_bars(
    title: str,
    series: Sequence[Series],
    stacks: Sequence[Stack],
    start: datetime,
    end: datetime,
    ticks: Sequence[tuple[datetime, str]],
    *,
    description: str,
    height: float = 160,
) -> Markup:
    """Return stacked bars over time."""
    top = nice_top(max((sum(stack.counts) for stack in stacks), default=0))
    x = Scale(start.timestamp(), end.timestamp(), LEFT, WIDTH - RIGHT)
    y = Scale(0, top, height - BOTTOM, TOP)
    parts = value_axis(y, [(0, "0"), (top / 2, f"{top / 2:g}"), (top, f"{top:g}")])
    parts += time_axis(x, [(moment.timestamp(), words) for moment, words in ticks], height)
    for stack in stacks:
        left, right = x(stack.start.timestamp()), x(stack.end.timestamp())
        left, right = max(left, LEFT), min(right, WIDTH - RIGHT)
        below = 0.0
        for one, count in zip(series, stack.counts, strict=True):
            if count:
                words = f"{stack.label}: {count:g} {one.name}"
                parts.append(
                    rectangle(
                        left + 0.5, y(below + count), right - left - 1, y(below) - y(below + count), one.kind, words
                    )
                )
            below += count
    return drawing(title, description, parts, height=height)


def value_bars(title: str, values: Sequence[tuple[str, float, str]], *, description: str) -> Markup:
    """Return one horizontal bar per value: its label, its count, and the class that colours it."""
    most = max((count for _, count, _ in values), default=0) or 1
    x = Scale(0, most, _LABEL, WIDTH - 70)
    parts = []
    for place, (label, count, kind) in enumerate(values):
        y = 6 + place * _ROW
        shown = label if len(label) <= 28 else label[:27] + "…"
        parts.append(text(_LABEL - 8, y + 14, shown, anchor="end"))
        parts.append(rectangle(_LABEL, y + 2, max(1.5, x(count) - _LABEL), _ROW - 10, kind, f"{label}: {count:g}"))
        parts.append(text(x(count) + 6, y + 14, f"{count:g}", anchor="start"))
    return drawing(title, description, parts, height=12 + _ROW * max(1, len(values)))
