"""Evaluation reports, live windows and clusters."""

from __future__ import annotations

from typing import Literal

from processor.metric_catalogue.definition import MetricDefinition

CounterName = Literal[
    "gavel_windows_results",
    "gavel_windows_shifts",
    "gavel_windows_restarts",
    "gavel_clustering_runs",
    "gavel_reports_generated",
    "gavel_reports_deliveries",
    "gavel_reports_runs",
    "gavel_reports_events_not_sent",
]
GaugeName = Literal[
    "gavel_reports_open",
    "gavel_windows_kept",
    "gavel_windows_current",
]
AgeName = Literal["gavel_reports_overdue_seconds",]

METRICS: dict[CounterName | GaugeName | AgeName, MetricDefinition] = {
    "gavel_windows_results": MetricDefinition(
        "counter",
        "Results that the live windows counted, by verdict; duplicate, late and future ones are in no window. If "
        "duplicate grows without a replay or a restart, look for a producer that writes results twice",
        ("outcome",),
    ),
    "gavel_windows_shifts": MetricDefinition(
        "counter",
        "Shifts of an evaluation's pass rate, by direction. If it grows, see the evaluation's windows for which "
        "version and when",
        ("direction",),
    ),
    "gavel_windows_restarts": MetricDefinition(
        "counter",
        "Times that the live windows failed and began again. If it keeps growing, look for windows_failed in the log",
    ),
    "gavel_clustering_runs": MetricDefinition(
        "counter",
        "Clustering runs by how they ended (completed, failed, retried, lost). If failed grows, the run says why",
        ("outcome",),
    ),
    "gavel_reports_generated": MetricDefinition(
        "counter",
        "Evaluation reports made, by whether their figures could be read. If figures=no grows, look at ClickHouse",
        ("figures",),
    ),
    "gavel_reports_deliveries": MetricDefinition(
        "counter",
        "Attempts to deliver a report, by kind of target and outcome. If failed or unknown grows, read "
        "delivery_errors in the report's runs; if retry grows, look at the receiver or the mail server",
        ("kind", "outcome"),
    ),
    "gavel_reports_runs": MetricDefinition(
        "counter",
        "Runs of evaluation reports that ended, by status. If failed or partial_failure grows, read the runs' errors",
        ("status",),
    ),
    "gavel_reports_events_not_sent": MetricDefinition(
        "counter", "Events of report runs that Kafka did not take. If it grows, look at the brokers"
    ),
    "gavel_reports_open": MetricDefinition(
        "gauge",
        "Report runs that are not finished. If it grows, start more processes of the reports role",
        merge="greatest",
    ),
    "gavel_reports_overdue_seconds": MetricDefinition(
        "age",
        "Seconds for which the oldest report run, or a due report without a run, has waited for a process; since the "
        "last good look while the store is away. If it grows, look for reports_failed, reports_wait_for_store and "
        "report_not_opened in the log, or start more processes of the reports role",
        merge="greatest",
    ),
    "gavel_windows_kept": MetricDefinition(
        "gauge", "Windows in memory. If it grows without an end, look for results of very many evaluations", merge="sum"
    ),
    "gavel_windows_current": MetricDefinition(
        "gauge",
        "Results of all evaluations in the window that is being filled, by its size and by verdict. If one stays at 0 "
        "while results come, look at the reports role",
        ("window", "outcome"),
        merge="sum",
    ),
}
