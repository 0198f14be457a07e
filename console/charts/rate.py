"""A rate over time with its interval, as a line with a band that is never joined across a change of the definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from console.charts.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    drawing,
    line,
    number,
    points,
    rectangle,
    text,
    time_axis,
    value_axis,
)


@dataclass(frozen=True, slots=True)
class Point:
    """One stretch of time: its middle, the rate, and the interval."""

    at: datetime
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Piece:
    """Points that one definition gave.

    Attributes:
        label: names the definition, such as `v3`.
        corrected: the rate of the whole piece without the judge's errors, and its interval, where labels allow it.
    """

    label: str
    points: tuple[Point, ...]
    corrected: tuple[float, float, float] | None = None


def rate_chart(
    title: str,
    pieces: Sequence[Piece],
    start: datetime,
    end: datetime,
    ticks: Sequence[tuple[datetime, str]],
    *,
    description: str,
) -> Markup:
    """Return the chart; each piece is a line of its own, with an edge where it begins."""
    x = Scale(start.timestamp(), end.timestamp(), LEFT, WIDTH - RIGHT)
    y = Scale(0, 1, HEIGHT - BOTTOM, TOP)
    parts = value_axis(y, [(0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1, "100 %")])
    parts += time_axis(x, [(moment.timestamp(), words) for moment, words in ticks])
    for place, piece in enumerate(pieces):
        parts += _corrected(piece, x, y) + _piece(piece, x, y)
        if place:
            edge = x(piece.points[0].at.timestamp()) - 3
            parts.append(line(edge, TOP, edge, HEIGHT - BOTTOM, "edge"))
            parts.append(text(edge + 3, TOP - 4, piece.label, anchor="start", kind="edge-text"))
    return drawing(title, description, parts)


def _corrected(piece: Piece, x: Scale, y: Scale) -> list[Markup]:
    """Return the level of the corrected rate with its interval, as wide as the piece."""
    if piece.corrected is None:
        return []
    rate, low, high = piece.corrected
    left, right = x(piece.points[0].at.timestamp()) - 4, x(piece.points[-1].at.timestamp()) + 4
    title = f"{piece.label} corrected: {rate:.1%}, {low:.1%} to {high:.1%}"
    return [
        rectangle(left, y(high), right - left, y(low) - y(high), "corrected-band", title),
        line(left, y(rate), right, y(rate), "corrected-line"),
    ]


def _piece(piece: Piece, x: Scale, y: Scale) -> list[Markup]:
    across = [x(point.at.timestamp()) for point in piece.points]
    if len(across) == 1:
        point = piece.points[0]
        return [
            line(across[0], y(point.low), across[0], y(point.high), "edge"),
            Markup('<circle cx="{}" cy="{}" r="3.5" class="dot"/>').format(number(across[0]), number(y(point.rate))),
        ]
    upper = [(place, y(point.high)) for place, point in zip(across, piece.points, strict=True)]
    lower = [(place, y(point.low)) for place, point in zip(across, piece.points, strict=True)]
    middle = [(place, y(point.rate)) for place, point in zip(across, piece.points, strict=True)]
    return [
        Markup('<polygon points="{}" class="band"/>').format(points(upper + lower[::-1])),
        Markup('<polyline points="{}" class="line"/>').format(points(middle)),
    ]


def sparkline(rates: Sequence[float | None], label: str) -> Markup:
    """Return a small line without axes; stretches without results are gaps."""
    width, height = 96, 24
    known = [rate for rate in rates if rate is not None]
    if not known:
        return Markup("")
    y = Scale(0, 1, height - 3, 3)
    x = Scale(0, max(1, len(rates) - 1), 3, width - 3)
    runs: list[list[tuple[float, float]]] = [[]]
    for place, rate in enumerate(rates):
        if rate is None:
            runs.append([])
        else:
            runs[-1].append((x(place), y(rate)))
    parts = [
        Markup('<polyline points="{}" class="line"/>').format(points(run))
        if len(run) > 1
        else Markup('<circle cx="{}" cy="{}" r="2" class="dot"/>').format(number(run[0][0]), number(run[0][1]))
        for run in runs
        if run
    ]
    course = f"From {known[0]:.0%} to {known[-1]:.0%}, between {min(known):.0%} and {max(known):.0%}."
    return Markup('<svg class="spark" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>').format(
        width, height, label, course, Markup("").join(parts)
    )
