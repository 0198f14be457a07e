"""The shape of a row of the catalogue, and the buckets that several histograms share."""

from __future__ import annotations

from typing import Literal, NamedTuple


class MetricDefinition(NamedTuple):
    """One row of the catalogue. Counters are exported with the suffix `_total`; an age is exported as a gauge.

    `merge` says how the gauges or ages of several workers become one: their sum if each worker has a part, the least if
    a small value is the bad one, and the greatest if a great value is the bad one or all workers have the same.
    """

    kind: Literal["counter", "gauge", "age", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Literal["sum", "least", "greatest"] | None = None


SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
LATENCIES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
FINE_SECONDS = (0.000001, 0.00001, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 10.0)
