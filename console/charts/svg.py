"""Parts that all charts share: scales, numbers, and axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 760, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 16, 24


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high` onto pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; the middle if all values are the same."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def number(value: float) -> str:
    """Return a coordinate in few characters."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def points(pairs: Sequence[tuple[float, float]]) -> str:
    """Return coordinates as `x,y x,y`."""
    return " ".join(f"{number(x)},{number(y)}" for x, y in pairs)


def text(x: float, y: float, words: str, *, anchor: str = "middle", kind: str = "axis-text") -> Markup:
    """Return a text at a place."""
    return Markup('<text x="{}" y="{}" text-anchor="{}" class="{}">{}</text>').format(
        number(x), number(y), anchor, kind, words
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "axis") -> Markup:
    """Return a straight line."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(
        number(x1), number(y1), number(x2), number(y2), kind
    )


def rectangle(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> Markup:
    """Return a filled rectangle, whose title a pointer shows."""
    inner = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}">{}</rect>').format(
        number(x), number(y), number(max(width, 0)), number(max(height, 0)), kind, inner
    )


def drawing(title: str, description: str, parts: Sequence[Markup], *, height: float = HEIGHT) -> Markup:
    """Return a chart with its title and description, which screen readers read in its place."""
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>').format(
        WIDTH, number(height), title, description, Markup("").join(parts)
    )


def time_axis(x: Scale, ticks: Sequence[tuple[float, str]], height: float = HEIGHT) -> list[Markup]:
    """Return the axis below a chart. Labels that would lie on each other are left out."""
    found = [line(LEFT, height - BOTTOM, WIDTH - RIGHT, height - BOTTOM)]
    last = -1e9
    for value, words in ticks:
        place = x(value)
        width = len(words) * 6 + 14
        if place - last < width or not LEFT <= place <= WIDTH - RIGHT:
            continue
        last = place
        anchor = "start" if place < LEFT + width / 2 else "end" if place > WIDTH - RIGHT - width / 2 else "middle"
        found.append(text(place, height - BOTTOM + 15, words, anchor=anchor))
    return found


def value_axis(y: Scale, values: Sequence[tuple[float, str]]) -> list[Markup]:
    """Return horizontal lines with their labels."""
    found = []
    for value, words in values:
        place = y(value)
        found.append(line(LEFT, place, WIDTH - RIGHT, place))
        found.append(text(LEFT - 6, place + 4, words, anchor="end"))
    return found


def nice_top(value: float) -> float:
    """Return a round number that is not below `value`."""
    if value <= 0:
        return 1.0
    size = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    while size > value:
        size /= 10
    for step in (1, 2, 2.5, 5, 10):
        if step * size >= value:
            return step * size
    return 10 * size
