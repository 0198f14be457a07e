"""Matching and its verdicts: events, tasks, results, and the time that they take."""

from __future__ import annotations

from typing import Literal

from processor.metric_catalogue.definition import FINE_SECONDS, LATENCIES, MetricDefinition

CounterName = Literal[
    "gavel_records_skipped",
    "gavel_evaluation_outcomes",
    "gavel_results",
    "gavel_tasks",
    "gavel_runs_not_made",
    "gavel_team_budget_exceeded",
    "gavel_events_out_of_time",
    "gavel_evaluation_results",
]
HistogramName = Literal[
    "gavel_result_latency_seconds",
    "gavel_hog_seconds",
]

METRICS: dict[CounterName | HistogramName, MetricDefinition] = {
    "gavel_records_skipped": MetricDefinition(
        "counter",
        "Records that concern no evaluation, by reason. If bad_row grows, see the dead letters of the matcher",
        ("role", "reason"),
    ),
    "gavel_evaluation_outcomes": MetricDefinition(
        "counter",
        "Event and evaluation pairs by the outcome of matching. If error grows, look for condition_error in the log",
        ("outcome",),
    ),
    "gavel_results": MetricDefinition(
        "counter",
        "Results produced, by runtime and outcome (pass, fail, scored, not_applicable, skip reason). If a skip reason "
        "grows, see `gavel results` for its detail",
        ("role", "runtime", "outcome"),
    ),
    "gavel_tasks": MetricDefinition(
        "counter",
        "Tasks put on the task topic. If it grows faster than gavel_results of the judges, start more judges",
        ("runtime", "trigger"),
    ),
    "gavel_runs_not_made": MetricDefinition(
        "counter",
        "Runs that were due and were not made, by reason. If over_budget grows, raise the budget or wait for "
        "its next period; `gavel why` names the reason for each event",
        ("role", "reason"),
    ),
    "gavel_team_budget_exceeded": MetricDefinition(
        "counter",
        "Hog runs (hog) and events to be matched (match) that the matcher moved to the task topic because their team "
        "had used matcher.team_budget_s of a batch. If it grows, find the team's slow Hog code or filters with "
        "`gavel why`, or start more judges",
        ("work",),
    ),
    "gavel_events_out_of_time": MetricDefinition(
        "counter",
        "Generations whose timestamp is odd against their arrival in Kafka: late (an hour before it), future (over "
        "five minutes after it), out_of_order (over a minute before an earlier one of the batch). If it grows, look "
        "for a producer with a wrong clock or a late upload",
        ("role", "kind"),
    ),
    "gavel_result_latency_seconds": MetricDefinition(
        "histogram",
        "Seconds from an event's timestamp to its result, of a sample at high rates. If it grows, compare "
        "gavel_lag_seconds (too few processes) with gavel_judge_call_seconds (a slow provider)",
        ("role",),
        LATENCIES,
    ),
    "gavel_evaluation_results": MetricDefinition(
        "counter",
        "Results by evaluation (pass, fail, scored, not_applicable, skipped). Evaluations beyond the first 100 of a "
        "process count as `other`. If skipped grows, see the skip reasons in gavel_results and `gavel why`",
        ("team", "evaluation", "outcome"),
    ),
    "gavel_hog_seconds": MetricDefinition(
        "histogram",
        "Seconds of one inline run of a Hog evaluator. If it grows, look for the slow evaluator with `gavel why`",
        ("role",),
        FINE_SECONDS,
    ),
}
