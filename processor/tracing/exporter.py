"""The thread that sends traces to an OTLP receiver. It is the only one that waits for the receiver."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.metadata import version
from time import monotonic
from typing import Any, Protocol

import structlog
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from config.settings.otel import Otel
from processor.metrics import Metrics
from processor.tracing.queue import ResultTrace, Trace, TraceQueue
from processor.tracing.spans import Spans

_BATCH = 512
_LOOK_EVERY_S = 1.0
FLUSH_WITHIN_S = 3.0
"""How long the end of the process waits for the last export."""


class _Exporter(Protocol):
    def export(self, batch: Sequence[Any], /) -> Any:
        """Send a batch with retries; the result's name is SUCCESS or FAILURE. Blocks."""

    def shutdown(self) -> None:
        """End an export in progress."""


class TraceExporter:
    """Sends what a queue holds. A receiver that fails costs traces, which are counted, and nothing else.

    Args:
        instance: of the process, such as `host:pid`.
    """

    def __init__(self, settings: Otel, queue: TraceQueue, metrics: Metrics, *, instance: str) -> None:
        self.queue, self._metrics = queue, metrics
        release = version("gavel")
        resource = {"service.name": "gavel", "service.version": release, "service.instance.id": instance}
        self._spans = Spans(resource, release)
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        options: dict[str, Any] = {
            "headers": headers,
            "timeout": settings.timeout_s,
            "compression": Compression.Gzip,
        }
        self._exporters: dict[str, _Exporter] = {
            "spans": OTLPSpanExporter(f"{settings.endpoint}/v1/traces", **options),
            "results": OTLPLogExporter(f"{settings.endpoint}/v1/logs", **options),
        }
        self._calls = 0
        self._failing = False
        self._stop = threading.Event()
        self._log = structlog.get_logger("gavel.tracing")
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send the queued traces, for `FLUSH_WITHIN_S` at the most, and count the rest as dropped."""
        self._stop.set()
        self.queue.wake()
        self._thread.join(FLUSH_WITHIN_S)
        for exporter in self._exporters.values():
            exporter.shutdown()
        self._thread.join(FLUSH_WITHIN_S)
        left = self.queue.clear()
        if left:
            self._metrics.count("gavel_traces_dropped", left, reason="shutdown")
            self._log.warning("traces_dropped", traces=left, reason="the process ended before they were sent")

    def _run(self) -> None:
        give_up_s: float | None = None
        while True:
            batch = self.queue.batch(_BATCH, _LOOK_EVERY_S)
            if batch:
                self._send(batch)
            elif self._stop.is_set():
                return
            if self._stop.is_set():
                give_up_s = give_up_s or monotonic() + FLUSH_WITHIN_S
                if monotonic() > give_up_s:
                    return

    def _send(self, batch: list[Trace]) -> None:
        spans, results = [], []
        for trace in batch:
            try:
                if isinstance(trace, ResultTrace):
                    span, event = self._spans.evaluation(trace)
                    results.append(event)
                else:
                    self._calls += 1
                    span = self._spans.call(trace, self._calls)
            except (ValueError, KeyError, TypeError):
                self._metrics.count("gavel_traces_dropped", reason="unreadable")
                continue
            spans.append(span)
        self._export("spans", spans)
        self._export("results", results)

    def _export(self, signal: str, batch: Sequence[Any]) -> None:
        if not batch:
            return
        try:
            sent = self._exporters[signal].export(batch).name == "SUCCESS"
        except Exception as error:  # noqa: BLE001  # a defect of the library must not end the thread
            sent = False
            self._log.error("export_failed", signal=signal, error=f"{type(error).__name__}: {error}"[:300])
        if sent:
            self._metrics.count("gavel_traces_exported", len(batch), signal=signal)
        else:
            self._metrics.count("gavel_traces_dropped", len(batch), reason="export_failed")
        if sent == self._failing:
            self._failing = not sent
            if self._failing:
                remedy = "see otel.endpoint and its receiver; verdicts do not depend on it"
                self._log.warning("traces_not_taken", signal=signal, remedy=remedy)
            else:
                self._log.info("traces_taken_again", signal=signal)
