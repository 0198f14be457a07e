"""Signals of OpenTelemetry that Gavel does not take. They are counted and rejected so that nobody repeats them."""

from __future__ import annotations

from ingest.answers import Answer
from ingest.body import Receive
from ingest.door import Door, Request
from ingest.large_work import LARGE_BYTES, aside_if
from ingest.otlp import envelope, json_form
from ingest.otlp.answers import PROTOBUF, success
from ingest.otlp.service import admit

_NO_LOGS = (
    "Gavel takes traces only. If messages are missing from your spans, set "
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT to SPAN_ONLY: content that comes as log records cannot be "
    "joined to its span."
)
_NO_METRICS = "Gavel takes traces only. Export metrics to a metrics backend."


async def logs(door: Door, request: Request, receive: Receive) -> Answer:
    """Reject all log records, and say which setting puts their content into spans.

    Raises:
        Refusal: 400, 401, 408, 413, 415 or 503 for the request as a whole.
    """
    media_type, _, body = await admit(door, request, receive)
    form = envelope if media_type == PROTOBUF else json_form
    rejected = await aside_if(len(body) > LARGE_BYTES, form.count_log_records, body) if body else 0
    door.metrics.count("gavel_ingest_events", rejected, outcome="other_signal")
    return success(media_type, "rejectedLogRecords", rejected, _NO_LOGS)


async def metrics(door: Door, request: Request, receive: Receive) -> Answer:
    """Reject all data points of metrics. Raises as `logs` does."""
    media_type, _, body = await admit(door, request, receive)
    form = envelope if media_type == PROTOBUF else json_form
    rejected = await aside_if(len(body) > LARGE_BYTES, form.count_data_points, body) if body else 0
    door.metrics.count("gavel_ingest_events", rejected, outcome="other_signal")
    return success(media_type, "rejectedDataPoints", rejected, _NO_METRICS)
