"""Every metric that Gavel exports, in one catalogue.

A name that is not in the catalogue is a type error and a KeyError; docs, dashboards and tests read the
catalogue. Labels are bounded: roles, topics of the configuration, and closed lists of reasons.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal, NamedTuple, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import REGISTRY

MetricName = Literal[
    "gavel_records_consumed",
    "gavel_bytes_consumed",
    "gavel_records_skipped",
    "gavel_evaluation_outcomes",
    "gavel_results",
    "gavel_tasks",
    "gavel_runs_not_made",
    "gavel_dead_letters",
    "gavel_batch_seconds",
    "gavel_commit_seconds",
    "gavel_commits",
    "gavel_transactions_aborted",
    "gavel_rebalances",
    "gavel_records_in_flight",
    "gavel_bytes_in_flight",
    "gavel_partitions_assigned",
    "gavel_partitions_paused",
    "gavel_consumer_lag",
    "gavel_stalls",
    "gavel_hog_seconds",
    "gavel_sink_rows",
    "gavel_sink_insert_seconds",
    "gavel_sink_retries",
    "gavel_sink_blocked",
    "gavel_judge_calls",
    "gavel_judge_call_seconds",
    "gavel_judge_tokens",
    "gavel_judge_cost_usd",
    "gavel_judge_parked",
    "gavel_judge_probes",
    "gavel_judge_status_changes",
    "gavel_judge_output_modes",
    "gavel_judge_breakers_open",
    "gavel_judge_in_flight",
    "gavel_judge_waiting",
    "gavel_snapshot_revision",
    "gavel_snapshot_age_seconds",
    "gavel_snapshot_failures",
    "gavel_snapshot_evaluations",
    "gavel_snapshot_broken",
]


class MetricDefinition(NamedTuple):
    """One row of the catalogue. Counters are exported with the suffix `_total`."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_FINE_SECONDS = (0.000001, 0.00001, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 10.0)

CATALOGUE: dict[MetricName, MetricDefinition] = {
    "gavel_records_consumed": MetricDefinition("counter", "Kafka records taken up", ("role", "topic")),
    "gavel_bytes_consumed": MetricDefinition("counter", "Bytes of the values of records taken up", ("role", "topic")),
    "gavel_records_skipped": MetricDefinition(
        "counter", "Records that concern no evaluation, by reason", ("role", "reason")
    ),
    "gavel_evaluation_outcomes": MetricDefinition(
        "counter", "Event and evaluation pairs by the outcome of matching", ("outcome",)
    ),
    "gavel_results": MetricDefinition(
        "counter",
        "Results produced, by runtime and outcome (pass, fail, scored, not_applicable, skip reason)",
        ("role", "runtime", "outcome"),
    ),
    "gavel_tasks": MetricDefinition("counter", "Tasks put on the task topic", ("runtime", "trigger")),
    "gavel_runs_not_made": MetricDefinition(
        "counter", "Runs that were due and were not made, by reason", ("role", "reason")
    ),
    "gavel_dead_letters": MetricDefinition("counter", "Records sent to the dead letters", ("role", "reason")),
    "gavel_batch_seconds": MetricDefinition("histogram", "Time to work through one batch", ("role",), _SECONDS),
    "gavel_commit_seconds": MetricDefinition(
        "histogram", "Time to produce and commit what a batch brought", ("role",), _SECONDS
    ),
    "gavel_commits": MetricDefinition("counter", "Commits of offsets with their results", ("role",)),
    "gavel_transactions_aborted": MetricDefinition("counter", "Transactions aborted and done again", ("role",)),
    "gavel_rebalances": MetricDefinition("counter", "Rebalances by kind", ("role", "kind")),
    "gavel_records_in_flight": MetricDefinition("gauge", "Records taken up and not committed", ("role",)),
    "gavel_bytes_in_flight": MetricDefinition("gauge", "Bytes taken up and not committed", ("role",)),
    "gavel_partitions_assigned": MetricDefinition("gauge", "Partitions assigned to this process", ("role",)),
    "gavel_partitions_paused": MetricDefinition("gauge", "Partitions paused, for whatever reason", ("role",)),
    "gavel_consumer_lag": MetricDefinition(
        "gauge",
        "Records between what the group has committed and the end of a partition",
        ("role", "topic", "partition"),
    ),
    "gavel_stalls": MetricDefinition("counter", "Times that a partition stood still with work pending", ("role",)),
    "gavel_hog_seconds": MetricDefinition(
        "histogram", "Time of one inline run of a Hog evaluator", ("role",), _FINE_SECONDS
    ),
    "gavel_sink_rows": MetricDefinition("counter", "Rows that ClickHouse acknowledged", ("table",)),
    "gavel_sink_insert_seconds": MetricDefinition(
        "histogram", "Time until a batch was in ClickHouse, with all its tries", ("table",), _SECONDS
    ),
    "gavel_sink_retries": MetricDefinition("counter", "Inserts that failed and were tried again", ("reason",)),
    "gavel_sink_blocked": MetricDefinition("gauge", "1 while ClickHouse takes nothing and the sink waits"),
    "gavel_judge_calls": MetricDefinition(
        "counter",
        "Calls to models, by how they ended (answered, cached, cancelled, or the kind of failure)",
        ("provider", "model", "outcome"),
    ),
    "gavel_judge_call_seconds": MetricDefinition("histogram", "Time of one call to a model", ("provider",), _SECONDS),
    "gavel_judge_tokens": MetricDefinition(
        "counter", "Tokens that judges used, by direction (input, output)", ("provider", "model", "direction")
    ),
    "gavel_judge_cost_usd": MetricDefinition(
        "counter", "US dollars that judges cost by the price table", ("provider", "model")
    ),
    "gavel_judge_parked": MetricDefinition("counter", "Judge runs parked, by cause", ("cause",)),
    "gavel_judge_probes": MetricDefinition(
        "counter", "Probes of keys and models that failed, by outcome", ("outcome",)
    ),
    "gavel_judge_status_changes": MetricDefinition(
        "counter", "Evaluations that judges switched off (error) and on again (active)", ("status", "reason")
    ),
    "gavel_judge_output_modes": MetricDefinition(
        "counter", "Descents of the structured-output ladder, by the mode arrived at", ("model", "mode")
    ),
    "gavel_judge_breakers_open": MetricDefinition("gauge", "Keys and models whose breaker is not closed"),
    "gavel_judge_in_flight": MetricDefinition("gauge", "Calls to models in flight"),
    "gavel_judge_waiting": MetricDefinition("gauge", "Judge runs that wait for a slot"),
    "gavel_snapshot_revision": MetricDefinition("gauge", "Revision of the definitions in memory"),
    "gavel_snapshot_age_seconds": MetricDefinition("gauge", "Seconds since the definitions were last confirmed"),
    "gavel_snapshot_failures": MetricDefinition("counter", "Loads of the definitions that failed"),
    "gavel_snapshot_evaluations": MetricDefinition("gauge", "Enabled evaluations in memory"),
    "gavel_snapshot_broken": MetricDefinition("gauge", "Stored evaluations that cannot be run as they are"),
}


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


class Metrics:
    """The catalogue's metrics in one registry.

    Args:
        registry: where they are exported; a process has one, a test makes its own.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}
        self._children: dict[tuple[object, ...], Counter | Gauge | Histogram] = {}
        for name, definition in CATALOGUE.items():
            if definition.kind == "counter":
                self._metrics[name] = Counter(name, definition.help, definition.labels, registry=registry)
            elif definition.kind == "gauge":
                self._metrics[name] = Gauge(name, definition.help, definition.labels, registry=registry)
            else:
                self._metrics[name] = BatchHistogram(
                    name, definition.help, definition.labels, registry=registry, buckets=definition.buckets
                )

    def count(self, name: MetricName, amount: float = 1, **labels: str) -> None:
        """Add `amount` to a counter."""
        self._child(name, labels).inc(amount)  # type: ignore[union-attr]  # counters only

    def set(self, name: MetricName, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._child(name, labels).set(value)  # type: ignore[union-attr]  # gauges only

    def observe(self, name: MetricName, seconds: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        self._child(name, labels).observe(seconds)  # type: ignore[union-attr]  # histograms only

    def observe_all(self, name: MetricName, seconds: list[float], **labels: str) -> None:
        """Add observations to a histogram, as `observe` does one by one. `seconds` is sorted in place."""
        if seconds:
            self._child(name, labels).observe_all(seconds)  # type: ignore[union-attr]  # histograms only

    def _child(self, name: MetricName, labels: dict[str, str]) -> Counter | Gauge | Histogram:
        """Return the series of these labels; looking it up here costs a third of the library's way."""
        key = (name, *labels.items())
        child = self._children.get(key)
        if child is None:
            metric = self._metrics[name]
            child = self._children[key] = metric.labels(**labels) if labels else metric
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


def catalogue_text() -> str:
    """Return `docs/metrics.md`; `python -m processor.metrics > docs/metrics.md` writes it."""
    lines = [
        "# Metrics",
        "",
        "What `/metrics` of a process exports. Times are in seconds, sizes in bytes. Labels have few values each: no",
        "event, team or evaluation is one; those are in ClickHouse. Made from the catalogue in `processor/metrics.py`.",
        "",
        "| metric | kind | labels | what |",
        "|---|---|---|---|",
    ]
    for name, definition in CATALOGUE.items():
        exported = f"{name}_total" if definition.kind == "counter" else name
        labels = ", ".join(f"`{label}`" for label in definition.labels)
        lines.append(f"| `{exported}` | {definition.kind} | {labels} | {definition.help} |")
    return "\n".join(lines) + "\n"


if set(CATALOGUE) != set(get_args(MetricName)):
    raise RuntimeError("the metric catalogue and its names differ")

if __name__ == "__main__":
    print(catalogue_text(), end="")  # noqa: T201  # this is the command's result
