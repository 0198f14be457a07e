"""The exporter of traces against a real OTLP receiver that works, fails, hangs or is not there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

import pytest
from prometheus_client import CollectorRegistry

from config.settings.otel import Otel
from processor.events.output import Output
from processor.metrics import Metrics
from processor.tracing.exporter import TraceExporter
from processor.tracing.queue import CallTrace, TraceQueue
from tests.services.otlp import OtlpReceiver, attributes, otlp_receiver
from tests.services.ports import free_ports
from tests.services.waiting import PATIENCE_S, until

SPACE = UUID(int=1)
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def output(number: int = 0, **properties: Any) -> Output:
    """Return a committed result as the matcher produces it."""
    uuid = str(uuid5(SPACE, str(number)))
    all_properties = {
        "$ai_evaluation_id": "e1",
        "$ai_evaluation_name": "Polite",
        "$ai_evaluation_runtime": "hog",
        "$ai_evaluation_version": 3,
        "$ai_evaluation_start_time": "2026-11-01T10:00:00.000001+00:00",
        "$ai_evaluation_reasoning": "no rude word",
        "$ai_evaluation_result": True,
        "$ai_trace_id": TRACE,
        "$ai_span_id": SPAN,
        "$ai_target_event_id": "u1",
        **properties,
    }
    row = {"uuid": uuid, "event": "$ai_evaluation", "team_id": 7, "properties": json.dumps(all_properties)}
    return Output("result", "results", b"k", json.dumps(row).encode(), [("result_id", uuid.encode())])


def call(number: int = 0, **changes: Any) -> CallTrace:
    values: dict[str, Any] = {
        "result_id": str(uuid5(SPACE, str(number))), "trace_id": TRACE, "team_id": 7, "evaluation_id": "e1",
        "provider": "openai", "model": "gpt-5-mini", "address": "https://api.example.org/v1", "outcome": "answered",
        "took_s": 0.5, "ended_ns": time.time_ns(), "response_model": "gpt-5-mini-2026", "input_tokens": 20,
        "output_tokens": 5, **changes,
    }  # fmt: skip
    return CallTrace(**values)


class Rig:
    def __init__(self, url: str, **settings: Any) -> None:
        self.metrics = Metrics(CollectorRegistry())
        otel = Otel(endpoint=url, **{"timeout_s": PATIENCE_S, **settings})
        self.queue = TraceQueue(otel.queue_size, otel.sample, self.metrics)
        self.exporter = TraceExporter(otel, self.queue, self.metrics, instance="host:1")
        self.exporter.start()

    def total(self, name: Any, **labels: str) -> float:
        return self.metrics.total(name, **labels)

    def dropped(self, reason: str) -> float:
        return self.total("gavel_traces_dropped", reason=reason)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as made:
        yield made


def test_a_result_is_a_span_and_an_event_in_the_trace_of_its_generation(receiver: OtlpReceiver) -> None:
    rig = Rig(receiver.url, headers={"authorization": "Bearer x"})
    rig.queue.results([output()])
    until(lambda: receiver.logs)
    rig.exporter.stop()
    (span,), (event,) = receiver.spans, receiver.logs
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("evaluate Polite", TRACE, SPAN)
    assert span.start_time_unix_nano == 1_793_527_200_000_001_000
    assert span.end_time_unix_nano > span.start_time_unix_nano
    told = attributes(span.attributes)
    assert told["gen_ai.evaluation.name"] == "Polite"
    assert told["gen_ai.evaluation.score.label"] == "pass"
    assert (told["gavel.team.id"], told["gavel.event.uuid"], told["gavel.evaluation.version"]) == (7, "u1", 3)
    assert "gavel.event.trace_id" not in told
    assert event.event_name == "gen_ai.evaluation.result"
    assert (event.trace_id.hex(), event.span_id.hex()) == (TRACE, SPAN), "below the generation that was evaluated"
    assert attributes(event.attributes) == {
        "gen_ai.evaluation.name": "Polite",
        "gen_ai.evaluation.score.value": 1.0,
        "gen_ai.evaluation.score.label": "pass",
        "gen_ai.evaluation.explanation": "no rude word",
    }
    assert receiver.resources[0]["service.name"] == "gavel"
    assert receiver.headers["authorization"] == "Bearer x"
    assert (
        rig.total("gavel_traces_exported", signal="spans") == rig.total("gavel_traces_exported", signal="results") == 1
    )


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"$ai_evaluation_result": False}, {"score.value": 0.0, "score.label": "fail"}),
        ({"$ai_evaluation_result": None, "$ai_evaluation_numeric_result": 4}, {"score.value": 4.0}),
        ({"$ai_evaluation_result": None, "$ai_evaluation_categorical_result": ["a", "b"]}, {"score.label": "a, b"}),
        ({"$ai_evaluation_result": None, "$ai_evaluation_applicable": False}, {"score.label": "not_applicable"}),
    ],
)
def test_each_kind_of_result_has_its_score(
    receiver: OtlpReceiver, properties: dict[str, Any], expected: dict[str, Any]
) -> None:
    rig = Rig(receiver.url)
    rig.queue.results([output(**properties)])
    until(lambda: receiver.logs)
    rig.exporter.stop()
    told = attributes(receiver.logs[0].attributes)
    found = {name.removeprefix("gen_ai.evaluation."): value for name, value in told.items() if ".score." in name}
    assert found == expected


def test_a_skip_is_an_error_of_the_evaluation_and_not_a_fail(receiver: OtlpReceiver) -> None:
    rig = Rig(receiver.url)
    skipped = {"$ai_evaluation_result": None, "$ai_evaluation_skipped": True, "$ai_evaluation_skip_reason": "hog_error"}
    rig.queue.results([output(**skipped)])
    until(lambda: receiver.logs)
    rig.exporter.stop()
    told = attributes(receiver.logs[0].attributes)
    assert told["error.type"] == "hog_error"
    assert not [name for name in told if "score" in name]


def test_an_event_without_a_w3c_trace_keeps_its_id_as_an_attribute(receiver: OtlpReceiver) -> None:
    rig = Rig(receiver.url)
    rig.queue.results([output(**{"$ai_trace_id": "session 12"})])
    until(lambda: receiver.logs)
    rig.exporter.stop()
    (span,), (event,) = receiver.spans, receiver.logs
    assert attributes(span.attributes)["gavel.event.trace_id"] == "session 12"
    assert (event.trace_id, event.span_id) == (span.trace_id, span.span_id)


def test_calls_are_below_the_span_of_their_evaluation(receiver: OtlpReceiver) -> None:
    rig = Rig(receiver.url)
    rig.queue.call(call(outcome="rate_limited", response_model="", input_tokens=None, output_tokens=None))
    rig.queue.call(call())
    rig.queue.results([output()])
    until(lambda: len(receiver.spans) == 3)
    rig.exporter.stop()
    failed, answered, evaluation = receiver.spans
    assert {span.parent_span_id for span in (failed, answered)} == {evaluation.span_id}
    assert len({span.span_id for span in receiver.spans}) == 3
    assert failed.trace_id == answered.trace_id == evaluation.trace_id
    assert (answered.name, answered.kind) == ("chat gpt-5-mini", 3)
    assert attributes(answered.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.response.model": "gpt-5-mini-2026",
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 5,
        "server.address": "api.example.org",
        "gavel.evaluation.id": "e1",
        "gavel.team.id": 7,
        "gavel.result.id": str(uuid5(SPACE, "0")),
    }
    assert attributes(failed.attributes)["error.type"] == "rate_limited"
    assert failed.status.code == 2


def test_a_receiver_that_hangs_delays_nobody_and_drops_are_counted(receiver: OtlpReceiver) -> None:
    rig = Rig(receiver.url, queue_size=100, timeout_s=3600.0)  # an end that waited for the receiver would take an hour
    receiver.go_on.clear()
    rig.queue.results([output()])
    until(lambda: receiver.requests)
    for number in range(50):
        rig.queue.results([output(number) for _ in range(10)])
    assert rig.dropped("queue_full") == 400
    rig.exporter.stop()
    assert rig.dropped("shutdown") == 100


def test_a_receiver_that_is_down_costs_traces_and_nothing_else() -> None:
    (port,) = free_ports(1)
    rig = Rig(f"http://127.0.0.1:{port}", timeout_s=1.0)
    rig.queue.results([output()])
    until(lambda: rig.dropped("export_failed") == 2)
    rig.exporter.stop()


def test_a_receiver_that_fails_and_recovers(receiver: OtlpReceiver) -> None:
    rig = Rig(receiver.url)
    receiver.status = 500
    rig.queue.results([output()])
    until(lambda: rig.dropped("export_failed") == 2)
    receiver.status = 200
    rig.queue.results([output(1)])
    until(lambda: receiver.logs)
    rig.exporter.stop()
    assert len(receiver.spans) == 1


def test_bytes_that_are_not_a_result_are_counted_and_the_others_sent(receiver: OtlpReceiver) -> None:
    rig = Rig(receiver.url)
    broken = [output(1), output(2)]
    values = [b"{", b'{"uuid": "no", "team_id": 1, "properties": "{}"}']
    bad = [Output("result", "t", None, value, each.headers) for each, value in zip(broken, values, strict=True)]
    rig.queue.results([*bad, output(3)])
    until(lambda: receiver.logs)
    rig.exporter.stop()
    assert len(receiver.spans) == 1
    assert rig.dropped("unreadable") == 2


def test_the_sample_keeps_a_result_with_its_calls_or_neither() -> None:
    metrics = Metrics(CollectorRegistry())
    queue = TraceQueue(10_000, 0.3, metrics)
    for number in range(1000):
        queue.results([output(number)])
        queue.call(call(number))
    found = queue.batch(10_000, 0.0)
    kept = {json.loads(each.value)["uuid"] for each in found if not isinstance(each, CallTrace)}
    assert kept == {each.result_id for each in found if isinstance(each, CallTrace)}
    assert 200 < len(kept) < 400
