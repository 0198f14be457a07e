"""The plots of a page as SVG, without scripts, styles of elements, or anything from a network.

Colours are classes that the page's style defines, so that a plot follows the page into the dark and onto paper. A plot
has a title for those who do not see it, and every mark has its figures as a tooltip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

from reports.evaluation_reports.numerals import percent, points
from reports.evaluation_reports.page.readable import one_line

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 28
_BAR_HEIGHT = 26
_MAX_BARS = 12
_LABEL_CHARS = 21


def rate_over_time(figures: Mapping[str, Any]) -> Markup:
    """Return the pass rate of each bucket with its interval, and a mark where a version begins. Empty without rates."""
    start = datetime.fromisoformat(figures["period"]["start"])
    width = timedelta(seconds=figures["bucket_seconds"])
    versions = [each for each in reversed(figures["versions"]) if any(each["series"])]
    if not versions:
        return Markup()
    parts = [_grid(), _time_axis(start, start + width * len(versions[0]["series"]))]
    count = len(versions[0]["series"])
    for place, version in enumerate(versions):
        seen = [(bucket, rate) for bucket, rate in enumerate(version["series"]) if rate is not None]
        if place:
            parts.append(_version_mark(_x(seen[0][0], count), version["version"]))
        parts += [_band(run, count) for run in _runs(seen)]
        for run in _runs(seen):  # no line leads over buckets without results
            line = " ".join(f"{_x(bucket + 0.5, count):.1f},{_y(rate['value']):.1f}" for bucket, rate in run)
            parts.append(Markup('<polyline class="line v{}" points="{}"/>').format(place % 4, line))
        for bucket, rate in seen:
            moment = start + width * bucket
            value = f"{percent(rate['value'])} of {rate['decided']:,}"
            text = f"{moment:%Y-%m-%d %H:%M} UTC, version {version['version']}: {value}"
            parts.append(
                Markup('<circle class="dot v{}" cx="{:.1f}" cy="{:.1f}" r="2.5"><title>{}</title></circle>').format(
                    place % 4, _x(bucket + 0.5, count), _y(rate["value"]), text
                )
            )
    return _svg("Pass rate over time, with 95 % intervals", _HEIGHT, parts)


def score_distribution(version: Mapping[str, Any], bounds: Sequence[float]) -> Markup:
    """Return a histogram of the scores of a version. Empty without scores."""
    scores = version["scores"]
    if scores is None or not bounds:
        return Markup()
    bins, most = scores["bins"], max(scores["bins"]) or 1
    inner = _HEIGHT - _TOP - _BOTTOM
    parts = [
        Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_LEFT, _WIDTH - _RIGHT, _y(0), _y(0))
    ]
    for place, count in enumerate(bins):
        height = inner * count / most
        text = f"{bounds[place]:.3g} to {bounds[place + 1]:.3g}: {count:,}"
        parts.append(
            Markup(
                '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
            ).format(_x(place, len(bins)) + 1, _y(0) - height, _x(1, len(bins)) - _LEFT - 2, height, text)
        )
    for value, place, anchor in ((bounds[0], 0, "start"), (bounds[-1], len(bins), "end")):
        parts.append(_text(_x(place, len(bins)), _HEIGHT - 8, f"{value:.3g}", anchor))
    parts.append(_text(_LEFT - 6, _TOP + 4, f"{most:,}", "end"))
    return _svg("Distribution of scores", _HEIGHT, parts)


def failures_by_slice(version: Mapping[str, Any]) -> Markup:
    """Return the share of failures of each slice of a version, the worst first. Empty without slices."""
    slices = sorted(version["slices"], key=lambda each: each["rate"]["value"])[:_MAX_BARS]
    if not slices:
        return Markup()
    left, right = 215, 150  # room for the labels at the size that phones get
    scale = (_WIDTH - left - right) / max(0.01, *(1 - each["rate"]["low"] for each in slices))
    parts: list[Markup] = []
    for place, each in enumerate(slices):
        y = 8 + place * _BAR_HEIGHT
        rate = each["rate"]
        share = 1 - rate["value"]
        label = one_line(each["value"] or "(none)", _LABEL_CHARS)
        parts.append(_text(left - 8, y + 14, f"{label}", "end"))
        css = "bar worse" if each["against_rest"]["stands_out"] and each["against_rest"]["value"] < 0 else "bar"
        tip = f"{each['dimension']} {label}: {points(each['against_rest']['value'])} of passes against the rest"
        parts.append(
            Markup('<rect class="{}" x="{}" y="{}" width="{:.1f}" height="16"><title>{}</title></rect>').format(
                css, left, y + 2, max(1.0, share * scale), tip
            )
        )
        low, high = left + (1 - rate["high"]) * scale, left + (1 - rate["low"]) * scale
        parts.append(
            Markup('<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(low, high, y + 10, y + 10)
        )
        parts.append(_text(_WIDTH - right + 8, y + 14, f"{percent(share)} of {rate['decided']:,}", "start"))
    return _svg("Share of failures by slice, with 95 % intervals", 16 + len(slices) * _BAR_HEIGHT, parts)


def _svg(title: str, height: int, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>').format(
        _WIDTH, height, title, title, Markup("").join(parts)
    )


def _x(place: float, count: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * place / count


def _y(rate: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - rate)


def _grid() -> Markup:
    parts = []
    for rate in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
                _LEFT, _WIDTH - _RIGHT, _y(rate), _y(rate)
            )
        )
        parts.append(_text(_LEFT - 6, _y(rate) + 4, f"{rate * 100:.0f} %", "end"))
    return Markup("").join(parts)


def _time_axis(start: datetime, end: datetime) -> Markup:
    form = "%d %b %H:%M" if end - start < timedelta(days=3) else "%d %b"
    y = _HEIGHT - 8
    return (
        _text(_LEFT, y, f"{start:{form}}", "start")
        + _text((_LEFT + _WIDTH - _RIGHT) / 2, y, f"{start + (end - start) / 2:{form}}", "middle")
        + _text(_WIDTH - _RIGHT, y, f"{end:{form}}", "end")
    )


def _version_mark(x: float, version: int) -> Markup:
    line = Markup('<line class="mark" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(x, x, _TOP - 8, _y(0))
    anchor = "end" if x > _WIDTH * 0.8 else "start"
    return line + _text(x + (-4 if anchor == "end" else 4), _TOP - 8, f"version {version}", anchor)


def _runs(seen: Sequence[tuple[int, Mapping[str, Any]]]) -> list[list[tuple[int, Mapping[str, Any]]]]:
    """Return the stretches of buckets that follow each other."""
    runs: list[list[tuple[int, Mapping[str, Any]]]] = []
    for bucket, rate in seen:
        if runs and runs[-1][-1][0] == bucket - 1:
            runs[-1].append((bucket, rate))
        else:
            runs.append([(bucket, rate)])
    return runs


def _band(run: Sequence[tuple[int, Mapping[str, Any]]], count: int) -> Markup:
    upper = [(bucket, rate["high"]) for bucket, rate in run]
    lower = [(bucket, rate["low"]) for bucket, rate in reversed(run)]
    if len(run) == 1:
        x = _x(run[0][0] + 0.5, count)
        return Markup('<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
            x, x, _y(upper[0][1]), _y(lower[0][1])
        )
    corners = " ".join(f"{_x(bucket + 0.5, count):.1f},{_y(rate):.1f}" for bucket, rate in (*upper, *lower))
    return Markup('<polygon class="band" points="{}"/>').format(corners)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))
