"""The metrics of one process: the catalogue's names as series of a registry of Prometheus."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, ClassVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.registry import REGISTRY
from prometheus_client.samples import Sample

from evaluators.verdict import VERDICT_NAMES
from processor.metric_catalogue import CATALOGUE, AgeName, CounterName, GaugeName, HistogramName, MetricName

MAX_EVALUATIONS = 100
"""Evaluations of a process that have series of their own; all further ones count as `OTHER`."""
OTHER = "other"
NEVER = -math.inf
"""The moment of an age that is infinite."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all series, and no dashboard or alert reads them


class BatchHistogram(Histogram):
    """A histogram that takes many observations at a time for little more than the price of one."""

    def observe_all(self, amounts: list[float]) -> None:
        """Add observations, and sort them in place."""
        amounts.sort()
        below = 0
        for bucket, bound in zip(self._buckets, self._upper_bounds, strict=True):
            behind = bisect_right(amounts, bound, below)
            if behind > below:
                bucket.inc(behind - below)
            below = behind
        self._sum.inc(sum(amounts))


class AgeGauge(Gauge):
    """A gauge whose value is the time since a moment. It is computed when it is read, so it grows while others hang."""

    _type = "gauge"
    clock: ClassVar[Callable[[], float]] = time.time

    def _metric_init(self) -> None:
        super()._metric_init()
        self._moment_s = 0.0

    def since(self, moment_s: float) -> None:
        """Set the moment, in epoch seconds; 0 for an age of 0, and `NEVER` for an infinite one."""
        self._moment_s = moment_s

    def age_s(self) -> float:
        """Return the seconds since the moment, never below 0."""
        return max(0.0, AgeGauge.clock() - self._moment_s) if self._moment_s else 0.0

    def _child_samples(self) -> Iterable[Sample]:
        return (Sample("", {}, self.age_s(), None, None),)


_KINDS: dict[str, type[Counter | Gauge]] = {"counter": Counter, "gauge": Gauge, "age": AgeGauge}


class Metrics:
    """The catalogue's metrics in one registry.

    Args:
        registry: where they are exported; a process has one, a test makes its own.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}
        self._children: dict[tuple[Any, ...], Any] = {}
        self._evaluations: set[tuple[str, str]] = set()
        self._lock = Lock()
        for name, definition in CATALOGUE.items():
            # A metric without labels would be 0 in processes that it does not concern: it is exported once it is used.
            where = registry if definition.labels else None
            if definition.kind == "histogram":
                self._metrics[name] = BatchHistogram(
                    name, definition.help, definition.labels, registry=where, buckets=definition.buckets
                )
            else:
                self._metrics[name] = _KINDS[definition.kind](name, definition.help, definition.labels, registry=where)

    def count(self, name: CounterName, amount: float = 1, **labels: str) -> None:
        """Add `amount` to a counter."""
        self._child(name, labels).inc(amount)

    def set(self, name: GaugeName, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._child(name, labels).set(value)

    def value(self, name: GaugeName, **labels: str) -> float | None:
        """Return a gauge's value; None if it was never set with these labels."""
        child = self._children.get((name, *labels.items()))
        return None if child is None else float(child._value.get())  # noqa: SLF001  # it has no reader

    def total(self, name: CounterName | GaugeName, **labels: str) -> float:
        """Return the sum over all series of a counter or gauge that have these labels; 0 if there are none."""
        return sum(value for _, value in self._values(name, labels))

    def series(self, name: CounterName | GaugeName) -> list[dict[str, str]]:
        """Return the labels of all series of a counter or gauge."""
        return [labels for labels, _ in self._values(name, {})]

    def read(self, name: CounterName | GaugeName, *, by: str, **labels: str) -> dict[str, float]:
        """Return the sums over the series of a counter or gauge that have these labels, by the value of label `by`."""
        sums: dict[str, float] = {}
        for series, value in self._values(name, labels):
            key = series[by]
            sums[key] = sums.get(key, 0.0) + value
        return sums

    def _values(self, name: CounterName | GaugeName, labels: dict[str, str]) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of the series of `name` that have `labels`. Safe from any thread."""
        found = []
        for key, child in list(self._children.items()):
            if key[0] == name:
                series: dict[str, str] = dict(key[1:])
                if labels.items() <= series.items():
                    found.append((series, float(child._value.get())))  # noqa: SLF001  # it has no reader
        return found

    def since(self, name: AgeName, moment_s: float, **labels: str) -> None:
        """Set the moment, in epoch seconds, since which an age counts; 0 for an age of 0, `NEVER` for infinite."""
        self._child(name, labels).since(moment_s)

    def age_s(self, name: AgeName, **labels: str) -> float:
        """Return an age in seconds."""
        return float(self._child(name, labels).age_s())

    def oldest_s(self, name: AgeName) -> float:
        """Return the largest age of all series of a name, in seconds; 0 if there are none. Safe from any thread."""
        children = [child for key, child in list(self._children.items()) if key[0] == name]
        return max((child.age_s() for child in children), default=0.0)

    def ages_s(self, name: AgeName, *, by: str, **labels: str) -> dict[str, float]:
        """Return the largest age of the series that have these labels, in seconds, by the value of label `by`."""
        found: dict[str, float] = {}
        for key, child in list(self._children.items()):
            series: dict[str, str] = dict(key[1:])
            if key[0] == name and labels.items() <= series.items():
                found[series[by]] = max(found.get(series[by], 0.0), child.age_s())
        return found

    def born(self, name: CounterName | GaugeName | HistogramName, **labels: str) -> None:
        """Export a series from now on, with the value 0: `increase()` needs the value before the first occurrence."""
        self._child(name, labels)

    def count_results(self, team_id: int, evaluation_id: str, outcome: str, amount: int = 1) -> None:
        """Count results of an evaluation; as `OTHER` once `MAX_EVALUATIONS` others have series here.

        Args:
            outcome: of `VERDICT_NAMES`.
        """
        team, evaluation = self.known_evaluation(team_id, evaluation_id)
        self.count("gavel_evaluation_results", amount, team=team, evaluation=evaluation, outcome=outcome)

    def known_evaluation(self, team_id: int, evaluation_id: str) -> tuple[str, str]:
        """Return the labels of an evaluation, whose series are born with this call if there is room for them."""
        labels = (str(team_id), evaluation_id)
        if labels not in self._evaluations:
            if len(self._evaluations) >= MAX_EVALUATIONS:
                labels = (OTHER, OTHER)
            else:
                self._evaluations.add(labels)
            for outcome in VERDICT_NAMES:
                self.born("gavel_evaluation_results", team=labels[0], evaluation=labels[1], outcome=outcome)
        return labels

    def observe(self, name: HistogramName, seconds: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        self._child(name, labels).observe(seconds)

    def observe_traced(self, name: HistogramName, seconds: float, trace_id: str, **labels: str) -> None:
        """Add one observation with its trace as the exemplar, which OpenMetrics shows."""
        self._child(name, labels).observe(seconds, {"trace_id": trace_id})

    def observe_all(self, name: HistogramName, seconds: list[float], **labels: str) -> None:
        """Add observations to a histogram, as `observe` does one by one. `seconds` is sorted in place."""
        if seconds:
            self._child(name, labels).observe_all(seconds)

    def _child(self, name: MetricName, labels: dict[str, str]) -> Any:
        """Return the series of these labels, whose class follows from the type of the name.

        Looking it up here costs a third of the library's way.
        """
        key = (name, *labels.items())
        child = self._children.get(key)
        return self._new_child(name, labels, key) if child is None else child

    def _new_child(self, name: MetricName, labels: dict[str, str], key: tuple[Any, ...]) -> Any:
        with self._lock:
            child = self._children.get(key)
            if child is None:
                child = self._metrics[name]
                if labels:
                    child = child.labels(**labels)
                else:
                    self.registry.register(child)
                self._children[key] = child
            return child

    def remove(self, name: MetricName, **labels: str) -> None:
        """Forget one labelled series, such as the lag of a partition that was revoked."""
        metric = self._metrics[name]
        names = CATALOGUE[name].labels
        self._children.pop((name, *labels.items()), None)
        try:
            metric.remove(*(labels[label] for label in names))
        except KeyError:
            return  # it was never set
