"""A run as a page: a plot of its items in the plane, and its clusters. The page loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from reports.clustering.text import clean

_COLOURS = (
    "#3b6fd4", "#d9822b", "#2f9e6e", "#c2415c", "#7d5bd0", "#1f97ad", "#a67c00", "#d05bb0", "#5b8c1f", "#8a6d5b",
)  # fmt: skip
_NOISE_COLOUR = "#9aa0a6"
_MARGIN = 1.06
_WIDTH = 1.6
"""Width of the plot divided by its height."""
_LABELLED = 20
"""The largest clusters have their number in the plot; more numbers would cover each other."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""The content security policy that the page needs."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5f6770; --line: #d9dde2; --back: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4ae; --line: #343a41; --back: #15181c; } }
@media print { :root { --ink: #000; --soft: #333; --line: #ccc; --back: #fff; } }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem; color: var(--ink); background: var(--back);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .25rem; } p { margin: .25rem 0; color: var(--soft); overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; max-height: 34rem; margin: 1rem 0; border: 1px solid var(--line);
  border-radius: 6px; }
circle { fill-opacity: .65; } text { font-size: .045px; fill: var(--ink); stroke: var(--back); stroke-width: .012px;
  paint-order: stroke; text-anchor: middle; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
td, th { padding: .4rem .5rem; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em;
  print-color-adjust: exact; }
tr, svg { break-inside: avoid; }
@media (max-width: 40rem) { td.d, th.d { display: none; } circle { r: .02px; }
  text { font-size: .11px; stroke-width: .03px; } }
"""


def page(name: str, run: Mapping[str, Any]) -> str:
    """Return the HTML of a run.

    Args:
        name: of its job.
        run: the stored result; every text in it is escaped.
    """
    clusters: Sequence[Mapping[str, Any]] = run["clusters"]
    title = f"Clusters of {_text(name)}"
    span = f"{_moment(run['window_start'])} to {_moment(run['window_end'])} UTC"
    facts = (
        f"{int(run['items'])} items of level {_text(run['level'])}, {span}. "
        f"Method: {_text(run['method'])}; vectors: {_text(run['vectors'])}."
    )
    notes = "".join(f"<p>{_text(note)}</p>" for note in run.get("notes", ()))
    body = _plot(clusters) + _table(clusters) if clusters else "<p>There were no items with text in this time.</p>"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{facts}</p>{notes}{body}</body></html>\n"
    )


def _plot(clusters: Sequence[Mapping[str, Any]]) -> str:
    groups = "".join(
        f'<g fill="{_colour(cluster)}"><title>{_text(cluster["title"])}</title>{_points(cluster["members"])}</g>'
        for cluster in reversed(clusters)
    )
    labels = "".join(
        f'<text x="{_at(_WIDTH * cluster["centroid_x"])}" y="{_at(-cluster["centroid_y"])}">{_number(cluster)}</text>'
        for cluster in [each for each in clusters if each["cluster_id"] >= 0][:_LABELLED]
    )
    wide = _MARGIN + _WIDTH - 1
    box = f"{-wide:.2f} {-_MARGIN} {2 * wide:.2f} {2 * _MARGIN}"
    return (
        f'<svg viewBox="{box}" role="img" aria-label="Items in the plane of their two main directions, by cluster">'
        f"{groups}{labels}</svg>"
    )


def _points(members: Sequence[Mapping[str, Any]]) -> str:
    places = ((_at(_WIDTH * member["x"]), _at(-member["y"])) for member in members)
    return "".join(f'<circle cx="{x}" cy="{y}" r=".012"/>' for x, y in places)


def _table(clusters: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr><td class="n"><span class="dot" style="background:{_colour(cluster)}"></span>{_number(cluster)}</td>'
        f'<td class="n">{int(cluster["size"])}</td><td><bdi>{_text(cluster["title"])}</bdi></td>'
        f'<td class="d"><bdi>{_text(cluster["description"])}</bdi></td></tr>'
        for cluster in clusters
    )
    head = '<tr><th class="n">Cluster</th><th class="n">Items</th><th>Title</th><th class="d">Description</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _number(cluster: Mapping[str, Any]) -> str:
    return str(int(cluster["cluster_id"])) if cluster["cluster_id"] >= 0 else "–"


def _colour(cluster: Mapping[str, Any]) -> str:
    number = int(cluster["cluster_id"])
    return _COLOURS[number % len(_COLOURS)] if number >= 0 else _NOISE_COLOUR


def _moment(value: Any) -> str:
    return _text(value)[:16].replace("T", " ")


def _at(value: float) -> str:
    return f"{float(value):.4f}"


def _text(value: Any) -> str:
    return escape(clean(str(value), 2_000))
