"""The sink: rows and inserts."""

from __future__ import annotations

from typing import Literal

from processor.metric_catalogue.definition import LATENCIES, SECONDS, MetricDefinition

CounterName = Literal[
    "gavel_sink_rows",
    "gavel_sink_retries",
]
GaugeName = Literal["gavel_sink_blocked",]
HistogramName = Literal[
    "gavel_row_latency_seconds",
    "gavel_sink_insert_seconds",
]

METRICS: dict[CounterName | GaugeName | HistogramName, MetricDefinition] = {
    "gavel_row_latency_seconds": MetricDefinition(
        "histogram",
        "Seconds from a record's arrival in Kafka to its row in ClickHouse, for the oldest record of each batch. If it "
        "grows, look at gavel_sink_insert_seconds and the lag of the sink",
        ("table",),
        LATENCIES,
    ),
    "gavel_sink_rows": MetricDefinition(
        "counter",
        "Rows that ClickHouse acknowledged. If it stands still while results come, look at gavel_sink_blocked",
        ("table",),
    ),
    "gavel_sink_insert_seconds": MetricDefinition(
        "histogram",
        "Seconds until a batch was in ClickHouse, with all its tries. If it grows, look at the load and the merges of "
        "ClickHouse",
        ("table",),
        SECONDS,
    ),
    "gavel_sink_retries": MetricDefinition(
        "counter",
        "Inserts that failed and were tried again, by the name of ClickHouse's error. If it grows, mend that error",
        ("reason",),
    ),
    "gavel_sink_blocked": MetricDefinition(
        "gauge",
        "1 while ClickHouse takes nothing and the sink waits. If it stays at 1, repair ClickHouse",
        merge="greatest",
    ),
}
