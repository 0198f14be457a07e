"""The latency of results is counted once each, and traced results are its exemplars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prometheus_client import CollectorRegistry

from processor.metrics import Metrics
from processor.result_latency import ResultLatency
from processor.tracing.queue import TraceQueue

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RESULT = UUID(int=7)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def observed(sample: float | None, trace_id: object = TRACE, age_s: float = 2.0) -> tuple[float, float, list[str]]:
    """Return count, sum and the traces of the exemplars of one result; `sample` is None without tracing."""
    metrics = Metrics(CollectorRegistry())
    latency = ResultLatency(metrics, "judge", None if sample is None else TraceQueue(10, sample, metrics))
    latency.note(NOW - timedelta(seconds=age_s), NOW, str(RESULT), {"$ai_trace_id": trace_id})
    latency.flush()
    latency.flush()
    (family,) = [each for each in metrics.registry.collect() if each.name == "gavel_result_latency_seconds"]
    value = {each.name.rpartition("_")[2]: each.value for each in family.samples if not each.name.endswith("bucket")}
    traces = [each.exemplar.labels["trace_id"] for each in family.samples if each.exemplar]
    return value["count"], value["sum"], traces


def test_a_traced_result_is_an_exemplar_with_the_trace_of_its_event_or_of_its_own() -> None:
    assert observed(1.0) == (1, 2.0, [TRACE])
    assert observed(1.0, trace_id=["odd"]) == (1, 2.0, [RESULT.hex])


def test_without_tracing_or_outside_its_sample_a_result_is_only_counted() -> None:
    assert observed(None) == (1, 2.0, [])
    assert observed(0.0) == (1, 2.0, [])


def test_an_event_of_the_future_has_no_negative_latency() -> None:
    assert observed(None, age_s=-60.0) == (1, 0.0, [])
