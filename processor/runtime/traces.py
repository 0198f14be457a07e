"""Whether and how a process traces."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING

from config.settings import Settings
from processor.metrics import Metrics

if TYPE_CHECKING:
    from processor.tracing.exporter import TraceExporter


def refuse_traces(settings: Settings) -> str | None:
    """Return why the traces that the settings ask for cannot be sent, or None."""
    if settings.otel.endpoint is None or find_spec("opentelemetry.exporter.otlp.proto.http") is not None:
        return None
    return "otel.endpoint: the extra otel is not installed; run `pip install 'gavel[otel]'`, or leave it out"


def started_traces(settings: Settings, metrics: Metrics) -> TraceExporter | None:
    """Return the running exporter of traces; None, without loading any of it, if no receiver is set."""
    if settings.otel.endpoint is None:
        return None
    from processor.tracing.exporter import TraceExporter
    from processor.tracing.queue import TraceQueue

    for signal in ("spans", "results"):
        metrics.born("gavel_traces_exported", signal=signal)
    for reason in ("queue_full", "export_failed", "shutdown", "unreadable"):
        metrics.born("gavel_traces_dropped", reason=reason)
    queue = TraceQueue(settings.otel.queue_size, settings.otel.sample, metrics)
    exporter = TraceExporter(settings.otel, queue, metrics, instance=f"{socket.gethostname()}:{os.getpid()}")
    exporter.start()
    return exporter
