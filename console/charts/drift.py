"""The drift statistic over the runs of the anchors, on a logarithmic scale, with its levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log10

from markupsafe import Markup

from console.charts.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    drawing,
    line,
    number,
    points,
    text,
    time_axis,
    value_axis,
)

_HEIGHT = 180
_TOP = 10_000.0
"""The highest value that is drawn; the statistic grows without a bound once a judge has moved."""


@dataclass(frozen=True, slots=True)
class Level:
    """A value from which the statistic says something, in a word."""

    value: float
    name: str


def drift_chart(runs: Sequence[tuple[datetime, float]], levels: Sequence[Level], *, description: str) -> Markup:
    """Return the chart. `runs`: the end of each run and the statistic after it, oldest first; at least one."""
    start, end = runs[0][0].timestamp(), runs[-1][0].timestamp()
    x = Scale(start, end, LEFT, WIDTH - RIGHT)
    y = Scale(0, log10(_TOP), _HEIGHT - BOTTOM, TOP)
    parts = value_axis(y, [(place, f"{10**place:g}") for place in range(5)])
    parts += time_axis(x, [(at.timestamp(), f"{at:%d %b}") for at, _ in runs], _HEIGHT)
    for level in levels:
        height = y(log10(level.value))
        parts.append(line(LEFT, height, WIDTH - RIGHT, height, "edge"))
        parts.append(text(LEFT + 4, height - 4, level.name, anchor="start", kind="edge-text"))
    places = [(x(at.timestamp()), y(log10(min(max(value, 1.0), _TOP)))) for at, value in runs]
    if len(places) > 1:
        parts.append(Markup('<polyline points="{}" class="line"/>').format(points(places)))
    for (across, height), (at, value) in zip(places, runs, strict=True):
        parts.append(
            Markup('<circle cx="{}" cy="{}" r="3" class="dot"><title>{}</title></circle>').format(
                number(across), number(height), f"{at:%Y-%m-%d %H:%M}: {value:.4g}"
            )
        )
    return drawing("Drift statistic", description, parts, height=_HEIGHT)
