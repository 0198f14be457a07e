"""Labels, measurements, canaries, drift and anchors."""

from __future__ import annotations

from typing import Literal

from processor.metric_catalogue.definition import MetricDefinition

CounterName = Literal[
    "gavel_labels",
    "gavel_measurement_runs",
    "gavel_measurement_calls",
    "gavel_measurement_cost_usd",
    "gavel_canary_successes",
    "gavel_drift_alarms",
]
GaugeName = Literal[
    "gavel_drift_evaluations",
    "gavel_label_queue_items",
]
AgeName = Literal["gavel_anchor_age_seconds",]

METRICS: dict[CounterName | GaugeName | AgeName, MetricDefinition] = {
    "gavel_labels": MetricDefinition(
        "counter",
        "Labels that Kafka has confirmed, by source. If it stays at 0 while people label, look for labels_wait in the "
        "log",
        ("source",),
    ),
    "gavel_measurement_runs": MetricDefinition(
        "counter",
        "Measurements of judges that ended, by kind and outcome. If incomplete grows, look at the error of the run",
        ("kind", "outcome"),
    ),
    "gavel_measurement_calls": MetricDefinition(
        "counter",
        "Judgements made for measurements, by kind. If it stays at 0 while a run is open, look at the lag of judges",
        ("kind",),
    ),
    "gavel_measurement_cost_usd": MetricDefinition(
        "counter",
        "US dollars spent for measurements, by kind. If it is too high, make comparisons smaller, or lower the budget "
        "of the evaluation, of which measurements spend a fifth at the most",
        ("kind",),
    ),
    "gavel_canary_successes": MetricDefinition(
        "counter",
        "Attacks that turned a judge's fail into a pass, in canaries runs. If it grows, look at the run: the text that "
        "the judge reads can persuade it",
    ),
    "gavel_drift_alarms": MetricDefinition(
        "counter",
        "Alarms of drift anchors: a judge no longer answers as in its baseline. If it grows, see `gavel trust anchors`",
    ),
    "gavel_drift_evaluations": MetricDefinition(
        "gauge",
        "Evaluations with drift anchors, by the answer to the question who moved. If judge_moved is not 0, see "
        "`gavel trust anchors`",
        ("state",),
        merge="greatest",
    ),
    "gavel_anchor_age_seconds": MetricDefinition(
        "age",
        "Seconds since the anchors that were counted least recently; 0 without anchors. If it exceeds two days, look "
        "for anchors_not_counted in the log",
        merge="greatest",
    ),
    "gavel_label_queue_items": MetricDefinition(
        "gauge",
        "Items of label queues, by state (open, done). If open stays high, ask more people to label",
        ("state",),
        merge="greatest",
    ),
}
