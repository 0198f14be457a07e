"""Every metric that Gavel exports, in one catalogue with a module for each family.

A name that is not in the catalogue is a type error and a KeyError, and so is counting with a gauge. Docs, dashboards,
alerts and tests read the catalogue. Labels are bounded: roles, topics of the configuration, closed lists of reasons,
and the first so many evaluations (`processor.metrics.MAX_EVALUATIONS`).
"""

from __future__ import annotations

from itertools import chain
from typing import get_args

from processor.metric_catalogue import ingest, judge, process, reports, sink, stream, trust, verdicts
from processor.metric_catalogue.definition import MetricDefinition

CounterName = (
    stream.CounterName
    | verdicts.CounterName
    | sink.CounterName
    | judge.CounterName
    | reports.CounterName
    | trust.CounterName
    | ingest.CounterName
    | process.CounterName
)
GaugeName = (
    stream.GaugeName
    | sink.GaugeName
    | judge.GaugeName
    | reports.GaugeName
    | trust.GaugeName
    | ingest.GaugeName
    | process.GaugeName
)
AgeName = stream.AgeName | reports.AgeName | trust.AgeName | process.AgeName
"""Gauges whose value is the time since a moment, computed when they are read: they grow while a process hangs."""
HistogramName = (
    stream.HistogramName
    | verdicts.HistogramName
    | sink.HistogramName
    | judge.HistogramName
    | ingest.HistogramName
    | process.HistogramName
)
MetricName = CounterName | GaugeName | AgeName | HistogramName

_FAMILIES = (stream, verdicts, sink, judge, reports, trust, ingest, process)
CATALOGUE: dict[MetricName, MetricDefinition] = dict(
    chain(
        stream.METRICS.items(),
        verdicts.METRICS.items(),
        sink.METRICS.items(),
        judge.METRICS.items(),
        reports.METRICS.items(),
        trust.METRICS.items(),
        ingest.METRICS.items(),
        process.METRICS.items(),
    )
)


def catalogue_text() -> str:
    """Return `docs/metrics.md`; `make docs` writes it."""
    lines = [
        "# Metrics",
        "",
        "These are the metrics that `/metrics` of a process exports. Times are in seconds, and sizes are in bytes. A",
        "label has few values: evaluations beyond the first 100 of a process are `other`, and ClickHouse has them all.",
        "A series whose labels are known beforehand is 0 from the start, so that `increase()` sees the first",
        "occurrence. `make docs` makes this page from the catalogue in `processor/metric_catalogue`.",
        "",
        "| metric | kind | labels | what |",
        "|---|---|---|---|",
    ]
    for name, definition in CATALOGUE.items():
        exported = f"{name}_total" if definition.kind == "counter" else name
        kind = "gauge" if definition.kind == "age" else definition.kind
        labels = ", ".join(f"`{label}`" for label in definition.labels)
        lines.append(f"| `{exported}` | {kind} | {labels} | {definition.help} |")
    return "\n".join(lines) + "\n"


def _refuse_mistakes() -> None:
    """Hold each family's rows to its names by kind, and its names to itself."""
    if len(CATALOGUE) != sum(len(family.METRICS) for family in _FAMILIES):
        raise RuntimeError("two families of the metric catalogue have the same name")
    for family in _FAMILIES:
        for kind, alias in _ALIASES.items():
            rows = {name for name, each in family.METRICS.items() if each.kind == kind}
            if rows != set(get_args(getattr(family, alias, None))):
                raise RuntimeError(f"the rows and the {alias} of {family.__name__} differ")


_ALIASES = {"counter": "CounterName", "gauge": "GaugeName", "age": "AgeName", "histogram": "HistogramName"}
_refuse_mistakes()
