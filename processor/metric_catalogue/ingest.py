"""The front door."""

from __future__ import annotations

from typing import Literal

from processor.metric_catalogue.definition import SECONDS, MetricDefinition

CounterName = Literal[
    "gavel_ingest_requests",
    "gavel_ingest_events",
    "gavel_ingest_not_forwarded",
    "gavel_ingest_empty_generations",
    "gavel_ingest_unreadable_times",
    "gavel_ingest_bytes",
]
GaugeName = Literal[
    "gavel_ingest_ready",
    "gavel_ingest_reserved_bytes",
]
HistogramName = Literal[
    "gavel_ingest_ack_seconds",
    "gavel_ingest_clock_skew_seconds",
]

METRICS: dict[CounterName | GaugeName | HistogramName, MetricDefinition] = {
    "gavel_ingest_requests": MetricDefinition(
        "counter",
        "Requests to the front door by protocol and status; `gone` counts clients that closed the connection first. If "
        "5xx grow, look at the brokers; if 401 grow, a client has no valid token",
        ("protocol", "status"),
    ),
    "gavel_ingest_events": MetricDefinition(
        "counter",
        "Events that came over HTTP, by outcome. Rejected ones are dead letters; not_persisted ones are sent again. If "
        "either grows, see `gavel dlq list` or the brokers",
        ("outcome",),
    ),
    "gavel_ingest_not_forwarded": MetricDefinition(
        "counter",
        "Events that are not written, because ingest.forward does not name them. If wanted ones grow, add their names",
        ("event",),
    ),
    "gavel_ingest_empty_generations": MetricDefinition(
        "counter",
        "Generations without input and output. If it grows, `gavel check` names the teams; their instrumentation must "
        "be told to record content",
    ),
    "gavel_ingest_unreadable_times": MetricDefinition(
        "counter",
        "Events whose timestamp could not be read; they got the time of their arrival. If it grows, mend the client",
    ),
    "gavel_ingest_bytes": MetricDefinition(
        "counter", "Bytes of request bodies as they came over the wire. If it grows, size network and processes by it"
    ),
    "gavel_ingest_ready": MetricDefinition(
        "gauge",
        "1 for each part of the front door (tokens, kafka, process) that is ready. If one stays at 0, requests get "
        "503: repair the store or the brokers",
        ("part",),
        merge="least",
    ),
    "gavel_ingest_reserved_bytes": MetricDefinition(
        "gauge",
        "Bytes that requests hold. If it nears ingest.max_bytes, requests get 503: run more processes",
        merge="sum",
    ),
    "gavel_ingest_ack_seconds": MetricDefinition(
        "histogram",
        "Seconds until Kafka acknowledged the events of a request. If it grows, look at the brokers",
        (),
        SECONDS,
    ),
    "gavel_ingest_clock_skew_seconds": MetricDefinition(
        "histogram",
        "Seconds between a client's clock and ours; times of events are corrected by it. If it grows, mend the "
        "clock of the client",
        (),
        (0.1, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0, 86400.0),
    ),
}
