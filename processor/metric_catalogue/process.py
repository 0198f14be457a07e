"""Each process: definitions, workers, traces, disk, store and HTTP."""

from __future__ import annotations

from typing import Literal

from processor.metric_catalogue.definition import SECONDS, MetricDefinition

CounterName = Literal[
    "gavel_snapshot_failures",
    "gavel_worker_ends",
    "gavel_traces_exported",
    "gavel_traces_dropped",
    "gavel_http_requests",
    "gavel_console_queries_refused",
]
GaugeName = Literal[
    "gavel_snapshot_revision",
    "gavel_snapshot_loaded",
    "gavel_snapshot_evaluations",
    "gavel_snapshot_broken",
    "gavel_build_info",
    "gavel_workers",
    "gavel_disk_free_ratio",
]
AgeName = Literal["gavel_snapshot_age_seconds",]
HistogramName = Literal[
    "gavel_store_seconds",
    "gavel_http_request_seconds",
    "gavel_console_seconds",
]

_PAGE_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 3.0, 10.0)

METRICS: dict[CounterName | GaugeName | AgeName | HistogramName, MetricDefinition] = {
    "gavel_snapshot_revision": MetricDefinition(
        "gauge",
        "Revision of the definitions in memory. If it differs between processes, look at their stores",
        merge="least",
    ),
    "gavel_snapshot_age_seconds": MetricDefinition(
        "age",
        "Seconds since the definitions were last confirmed; infinite if they were never loaded. If it grows, the store "
        "cannot be read: look for snapshot_load_failed in the log",
        merge="greatest",
    ),
    "gavel_snapshot_loaded": MetricDefinition(
        "gauge",
        "1 once definitions were loaded. If it stays at 0, the roles wait: repair the connection to the store",
        merge="least",
    ),
    "gavel_snapshot_failures": MetricDefinition(
        "counter", "Loads of the definitions that failed. If it grows, repair the connection to the store"
    ),
    "gavel_snapshot_evaluations": MetricDefinition(
        "gauge",
        "Enabled evaluations in memory. If it falls, see who changed them in the history of the evaluations",
        merge="greatest",
    ),
    "gavel_snapshot_broken": MetricDefinition(
        "gauge",
        "Stored evaluations that cannot be run as they are. If it is above 0, `gavel evaluations list` names them",
        merge="greatest",
    ),
    "gavel_build_info": MetricDefinition(
        "gauge",
        "Always 1; the labels name the release and its way to deliver. If releases differ, finish the upgrade",
        ("version", "python", "librdkafka", "delivery"),
        merge="greatest",
    ),
    "gavel_workers": MetricDefinition(
        "gauge",
        "Worker processes of `--workers` by state; waiting ones ended and wait for their restart. If waiting or "
        "starting stays above 0, look for worker_ended in the log",
        ("role", "state"),
        merge="sum",
    ),
    "gavel_worker_ends": MetricDefinition(
        "counter",
        "Worker processes of `--workers` that ended unasked, by reason (failed, killed, ended, hangs). If it grows, "
        "look for worker_ended in the log; the worker's own last lines stand before it",
        ("role", "reason"),
    ),
    "gavel_traces_exported": MetricDefinition(
        "counter",
        "Spans and result events that the receiver at otel.endpoint took. If it stands still, see gavel_traces_dropped",
        ("signal",),
    ),
    "gavel_traces_dropped": MetricDefinition(
        "counter",
        "Spans and result events that were not sent, by reason (queue_full, export_failed, shutdown, unreadable). No "
        "verdict depends on them. If it grows, look at the receiver at otel.endpoint, or lower otel.sample",
        ("reason",),
    ),
    "gavel_disk_free_ratio": MetricDefinition(
        "gauge",
        "Share of the disk under data_dir that is free. If it nears 0, make room: the embedded stores stop at 0",
        merge="least",
    ),
    "gavel_store_seconds": MetricDefinition(
        "histogram",
        "Seconds of one transaction of the SQL store (read, write). If it grows, look at locks and load of the store",
        ("kind",),
        SECONDS,
    ),
    "gavel_http_requests": MetricDefinition(
        "counter",
        "Requests to the API and the console, by route and class of status. If 5xx grows, look for request_failed in "
        "the log",
        ("service", "route", "method", "status"),
    ),
    "gavel_console_queries_refused": MetricDefinition(
        "counter",
        "Queries and exports of the console that found no room beside others. If it grows, look for readers with long "
        "periods, and at the load of ClickHouse",
    ),
    "gavel_http_request_seconds": MetricDefinition(
        "histogram",
        "Seconds until a request to the API or the console was answered. If it grows, look at gavel_store_seconds",
        ("service",),
        SECONDS,
    ),
    "gavel_console_seconds": MetricDefinition(
        "histogram",
        "Seconds until a page of the console, or a part of one, was made, by its route. If it grows, look for readers "
        "with long periods, and at the load of ClickHouse",
        ("page",),
        _PAGE_SECONDS,
    ),
}
