"""The time from an event to its result, as the roles that make results observe it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from processor.metrics import Metrics
from processor.tracing.ids import hex_trace_id
from processor.tracing.queue import TraceQueue


class ResultLatency:
    """Observes `gavel_result_latency_seconds` of one role. Results that are traced become exemplars.

    Args:
        traces: decides which results are traced; None if nothing is traced.
    """

    def __init__(self, metrics: Metrics, role: str, traces: TraceQueue | None = None) -> None:
        self._metrics = metrics
        self._role = role
        self._traces = traces
        self._waiting_s: list[float] = []

    def note(self, event_at: datetime, now: datetime, result_id: str, properties: Mapping[str, Any]) -> None:
        """Take one live result; `flush` exports it. An event of the future counts as 0 s.

        Args:
            properties: of the event, for its `$ai_trace_id`, which is decoded only for a result that is traced.
        """
        seconds = max(0.0, (now - event_at).total_seconds())
        if self._traces is None or not self._traces.traces(result_id):
            self._waiting_s.append(seconds)
            return
        trace = hex_trace_id(result_id, properties.get("$ai_trace_id"))
        self._metrics.observe_traced("gavel_result_latency_seconds", seconds, trace, role=self._role)

    def flush(self) -> None:
        """Export all that was taken since the last call."""
        self._metrics.observe_all("gavel_result_latency_seconds", self._waiting_s, role=self._role)
        self._waiting_s.clear()
