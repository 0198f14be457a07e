"""OTLP over real HTTP and a real Kafka: the SDK's own exporter, both encodings, and what strangers send."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as WireResource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from processor.runtime.setup import inspect
from storage.heartbeat import HeartbeatWriter
from storage.sql.heartbeats import Vitals
from tests.integration.ingest.rig import IngestRig
from tests.integration.pipeline import TEAM

PROTOBUF = "application/x-protobuf"
TRACE = bytes(range(1, 17))


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def wire_span(number: int = 1, **changes: Any) -> Span:
    values: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": number.to_bytes(8, "big"),
        "name": "chat",
        "start_time_unix_nano": 1_790_000_000_000_000_000,
        "end_time_unix_nano": 1_790_000_001_000_000_000,
        "attributes": [text("gen_ai.operation.name", "chat"), text("gen_ai.prompt", "hello")],
        **changes,
    }
    return Span(**values)


def field(number: int, value: bytes) -> bytes:
    """Return a field of protobuf that has a length."""
    length = len(value)
    out = bytearray([number << 3 | 2])
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(out + bytes([length]) + value)


def request(*spans: Span | bytes) -> bytes:
    """Return a request whose spans may be arbitrary bytes."""
    scope = b"".join(field(2, each if isinstance(each, bytes) else each.SerializeToString()) for each in spans)
    return field(1, field(2, scope))


def post(rig: IngestRig, body: bytes, path: str = "/v1/traces", **headers: str) -> Any:
    given = {"Authorization": f"Bearer {rig.token}", "Content-Type": PROTOBUF, **headers}
    return rig.http.post(path, content=body, headers=given)


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_the_exporter_of_the_sdk_delivers(rig: IngestRig, compression: str, caplog: pytest.LogCaptureFixture) -> None:
    from opentelemetry.exporter.otlp.proto.http import Compression

    exporter = OTLPSpanExporter(
        endpoint=f"http://127.0.0.1:{rig.server.port}/v1/traces",
        headers={"Authorization": f"Bearer {rig.token}"},
        compression=Compression(compression),
    )
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("request"), tracer.start_as_current_span("chat gpt-5-mini") as active:
        active.set_attribute("gen_ai.operation.name", "chat")
        active.set_attribute("gen_ai.request.model", "gpt-5-mini")
        active.set_attribute("gen_ai.input.messages", json.dumps([{"role": "user", "content": "hello"}]))
    provider.shutdown()
    (row,) = rig.rows()
    properties = row["properties"]
    assert (row["event"], row["team_id"], properties["$ai_model"]) == ("$ai_generation", TEAM, "gpt-5-mini")
    assert properties["$ai_input"] == [{"role": "user", "content": "hello"}]
    assert properties["service.name"] == "shop"
    assert properties["$ai_latency"] > 0
    assert rig.count("gavel_ingest_events_total", outcome="other_span") == 1
    assert [each for each in caplog.records if each.name.startswith("opentelemetry")] == []


def test_both_encodings_make_the_same_row(rig: IngestRig) -> None:
    spans = [wire_span(1)]
    whole = ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=WireResource(attributes=[text("service.name", "shop")]),
                scope_spans=[ScopeSpans(spans=spans)],
            )
        ]
    )
    assert post(rig, whole.SerializeToString()).content == b""
    rig.server.door.delivery.recent.clear()
    as_json = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                "unknown": {},
                "scopeSpans": [
                    {
                        "scope": None,
                        "spans": [
                            {
                                "traceId": TRACE.hex().upper(),
                                "spanId": (1).to_bytes(8, "big").hex(),
                                "parentSpanId": None,
                                "name": "chat",
                                "kind": 3,
                                "startTimeUnixNano": "1790000000000000000",
                                "endTimeUnixNano": 1790000001000000000,
                                "attributes": [
                                    {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                                    {"key": "gen_ai.prompt", "value": {"stringValue": "hello"}},
                                ],
                                "status": {},
                                "events": None,
                            }
                        ],
                    }
                ],
            }
        ]
    }
    body = json.dumps(as_json).encode()
    answer = post(rig, body, path="/i/v0/ai/otel/v1/traces/", **{"Content-Type": "application/json"})
    assert answer.json() == {}
    first, second = rig.rows()
    del first["created_at"], second["created_at"]
    assert first == second


@pytest.mark.parametrize("path", ["/v1/traces", "/i/v0/ai/otel", "/i/v0/ai/otel/v1/traces", "/i/v1/traces"])
def test_an_empty_request_is_a_success_on_every_path(shared: IngestRig, path: str) -> None:
    answer = post(shared, b"", path)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", PROTOBUF)
    assert post(shared, b"{}", path, **{"Content-Type": "application/json"}).json() == {}


@pytest.mark.parametrize(
    "authorization",
    ["bearer {}", "Bearer%20{}", "Basic {basic}", "Basic {password}"],
)
def test_exporters_name_the_token_in_several_ways(shared: IngestRig, authorization: str) -> None:
    given = authorization.format(
        shared.token,
        basic=base64.b64encode(f"{shared.token}:".encode()).decode(),
        password=base64.b64encode(f"pk-lf-x:{shared.token}".encode()).decode(),
    )
    assert post(shared, b"", Authorization=given).status_code == 200


def test_one_bad_span_of_a_hundred_is_one_rejected_span(rig: IngestRig) -> None:
    good = [wire_span(number) for number in range(1, 100)]
    bad = wire_span(100, name="NAME").SerializeToString().replace(b"NAME", b"\xff\xfe\xff\xfe")
    answer = post(rig, request(*good[:50], bad, *good[50:]))
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 1
    assert "UTF-8" in partial.error_message
    assert len(rig.messages()) == 99
    assert rig.letters() == [("decode", bad)]
    assert rig.count("gavel_ingest_events_total", outcome="rejected") == 1


def nested(depth: int) -> bytes:
    """Return a span with an attribute that is a list of lists; protobuf's own writer refuses to make one."""
    value = field(1, b"x")
    for _ in range(depth):
        value = field(5, field(1, value))
    return wire_span(1).SerializeToString() + field(9, field(1, b"gen_ai.x") + field(2, value))


@pytest.mark.parametrize(
    "changes",
    [
        {"trace_id": bytes(16)},
        {"trace_id": b"short"},
        {"span_id": bytes(8)},
        {"span_id": b""},
        {"raw": nested(200)},
    ],
)
def test_spans_that_cannot_be_taken_are_rejected(shared: IngestRig, changes: dict[str, Any]) -> None:
    span = changes.get("raw") or wire_span(1, **changes)
    answer = post(shared, request(span, wire_span(2)))
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1


def test_json_spans_that_cannot_be_taken_are_rejected_one_by_one(rig: IngestRig) -> None:
    ids = {"traceId": TRACE.hex(), "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]}
    spans: list[Any] = [
        {**ids, "spanId": "00f067aa0ba902b7", "name": "\ud800"},
        {**ids, "spanId": "xyz"},
        {**ids, "spanId": 5},
        {**ids, "spanId": "0" * 16},
        [],
        {**ids, "spanId": "00f067aa0ba902b8", "x": [[[]]] * 3, "startTimeUnixNano": "no"},
    ]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    answer = post(rig, body, **{"Content-Type": "application/json"})
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "4"
    assert [row["properties"]["$ai_span_name"] for row in rig.rows()] in (["\ufffd", ""], ["", "\ufffd"])


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"\xff\xff\xff", {}, 400, 3),
        (b"\x0a\xff\xff\xff\xff\x0f", {}, 400, 3),
        (b"\x0a\x05abc", {}, 400, 3),
        (gzip.compress(b"x" * 99, mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400, 3),
        (b"", {"Authorization": "Bearer gvt_unknown"}, 401, 16),
        (b"", {"Authorization": ""}, 401, 16),
        (b"", {"Content-Encoding": "br"}, 415, 3),
    ],
)
def test_errors_are_a_status_in_the_encoding_of_the_request(
    shared: IngestRig, body: bytes, headers: dict[str, str], status: int, code: int
) -> None:
    answer = post(shared, body, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROTOBUF)
    assert answer.content[:2] == bytes([8, code])
    as_json = post(shared, b"[", **{"Content-Type": "application/json"})
    assert (as_json.status_code, as_json.json()["code"]) == (400, 3)
    assert as_json.json()["message"]


def test_a_team_whose_spans_hold_no_content_is_named_by_gavel_check(rig: IngestRig) -> None:
    attributes = [text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", "gpt-5-mini")]
    empty = [wire_span(number, attributes=attributes) for number in range(1, 4)]
    assert post(rig, request(*empty, wire_span(9))).status_code == 200
    assert rig.count("gavel_ingest_empty_generations_total") == 3
    state, _, details = rig.server.condition()
    HeartbeatWriter(rig.pipeline.database, {"ingest": lambda: Vitals(state, details=details)}).beat()
    found = inspect(rig.pipeline.settings, rig.pipeline.clients, rig.pipeline.database)
    (note,) = [finding for finding in found if finding.subject == "events"]
    assert note.ok
    assert f"team {TEAM}: 3 of 4 generations" in note.detail
    assert "SPAN_ONLY" in note.remedy


def test_other_media_types_are_refused(shared: IngestRig) -> None:
    assert post(shared, b"", **{"Content-Type": "application/grpc"}).status_code == 415


def test_a_span_that_is_sent_again_is_written_once(rig: IngestRig) -> None:
    for _ in range(3):
        assert post(rig, request(wire_span(1))).status_code == 200
    assert len(rig.messages()) == 1


LOGS_JSON = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}, {}]}, {"scope": {}}]}]}
METRICS_JSON = {
    "resourceMetrics": [
        {
            "scopeMetrics": [
                {
                    "metrics": [
                        {"name": "a", "gauge": {"dataPoints": [{}, {}]}},
                        {"name": "b", "histogram": {"dataPoints": [{"count": "1"}]}},
                        {"name": "c", "exponentialHistogram": {}},
                        {"name": "d"},
                    ]
                }
            ]
        }
    ]
}
POINTS = field(1, b"") + field(1, b"")
METRICS_PROTOBUF = field(1, field(2, field(2, field(1, b"name") + field(5, POINTS)) + field(2, field(9, POINTS[:2]))))
LOGS_PROTOBUF = field(1, field(1, b"") + field(2, field(2, b"") + field(1, b"") + field(2, b"")))


@pytest.mark.parametrize(
    ("path", "as_json", "in_protobuf", "name", "rejected"),
    [
        ("/v1/logs", LOGS_JSON, LOGS_PROTOBUF, "rejectedLogRecords", 2),
        ("/i/v0/ai/otel/v1/logs/", LOGS_JSON, LOGS_PROTOBUF, "rejectedLogRecords", 2),
        ("/v1/metrics", METRICS_JSON, METRICS_PROTOBUF, "rejectedDataPoints", 3),
        ("/i/v1/metrics", METRICS_JSON, METRICS_PROTOBUF, "rejectedDataPoints", 3),
    ],
)
def test_other_signals_are_rejected_and_counted(
    shared: IngestRig, path: str, as_json: dict[str, Any], in_protobuf: bytes, name: str, rejected: int
) -> None:
    before = shared.count("gavel_ingest_events_total", outcome="other_signal")
    answer = post(shared, json.dumps(as_json).encode(), path, **{"Content-Type": "application/json"})
    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    assert partial.pop(name) == str(rejected)
    assert partial["errorMessage"].startswith("Gavel takes traces only.")
    packed = post(shared, gzip.compress(in_protobuf), path, **{"Content-Encoding": "gzip"})
    partial_success = ExportTraceServiceResponse.FromString(packed.content).partial_success
    assert (partial_success.rejected_spans, partial_success.error_message) == (rejected, partial["errorMessage"])
    assert shared.count("gavel_ingest_events_total", outcome="other_signal") == before + 2 * rejected
    assert post(shared, b"", path).content == b""
    assert post(shared, b"\xff", path).status_code == 400


def test_depth_of_json_is_bounded(rig: IngestRig) -> None:
    """A span that is nested over the limit is rejected alone; one that no decoder reads costs its request."""
    span = '{"traceId": "%s", "spanId": "%016d", "name": "chat", "attributes": [{"key": "gen_ai.x", "value": %s}]}'

    def nested_json(depth: int) -> bytes:
        value = '{"arrayValue": {"values": [' * depth + '{"stringValue": "x"}' + "]}}" * depth
        spans = [span % (TRACE.hex(), 1, value), span % (TRACE.hex(), 2, '{"stringValue": "x"}')]
        return f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{", ".join(spans)}]}}]}}]}}'.encode()

    headers = {"Content-Type": "application/json"}
    assert post(rig, nested_json(60), **headers).json()["partialSuccess"]["rejectedSpans"] == "1"
    ((reason, original),) = rig.letters()
    assert (reason, (original or b"")[:10]) == ("decode", b'{"traceId"')
    whole = post(rig, nested_json(10_000), **headers)
    assert (whole.status_code, whole.json()["code"]) == (400, 3)
    assert rig.count("gavel_ingest_requests_total", protocol="otlp", status="400") == 1


def test_numbers_of_strangers_are_read_or_left_out(rig: IngestRig) -> None:
    ids = {"traceId": TRACE.hex(), "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]}
    odd = ["²", "--5", "٣", "1" * 30, " 5 ", "-"]
    spans = [{**ids, "spanId": f"{n:016d}", "startTimeUnixNano": value} for n, value in enumerate(odd, 1)]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    assert post(rig, body, **{"Content-Type": "application/json"}).json() == {}
    assert len(rig.rows()) == len(odd)


def test_many_small_spans_take_the_memory_of_one(shared: IngestRig) -> None:
    body = request(*[b""] * 10_001)
    assert post(shared, body).status_code == 413
    answer = post(shared, request(*[b""] * 5_000))
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 5_000
