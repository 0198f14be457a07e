"""Answers of OTLP have the encoding of their request; both encodings hold the same values; large spans are rejected."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from ingest.limits import MIB
from ingest.otlp import envelope
from tests.unit.ingest.front import TEAM, TOKEN, Front

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def post(front: Front, content: bytes, media_type: str = PROTOBUF, **headers: str) -> httpx2.Response:
    given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": media_type, **headers}
    return front.call("POST", "/v1/traces", content=content, headers=given)


def packed(*attributes: KeyValue, **fields: Any) -> bytes:
    """Return a request of one span, a generation."""
    ids = {"trace_id": bytes.fromhex(TRACE), "span_id": bytes.fromhex(SPAN)}
    kind = KeyValue(key="gen_ai.operation.name", value=AnyValue(string_value="chat"))
    made = Span(**ids, attributes=[kind, *attributes], **fields)
    return TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[made])])]).SerializeToString()


def written(*attributes: tuple[str, Any], **fields: Any) -> bytes:
    """Return the same in JSON; values are those of the wire."""
    kind = {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}
    made = {
        "traceId": TRACE.upper(), "spanId": SPAN.upper(),
        "attributes": [kind, *({"key": key, "value": value} for key, value in attributes)], **fields,
    }  # fmt: skip
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [made]}]}]}).encode()


VALUES: dict[str, tuple[AnyValue, list[Any], Any]] = {
    "text": (AnyValue(string_value="x"), [{"stringValue": "x"}], "x"),
    "empty": (AnyValue(string_value=""), [{"stringValue": ""}], ""),
    "flag": (AnyValue(bool_value=False), [{"boolValue": False}], False),
    "integer": (AnyValue(int_value=2**53 + 1), [{"intValue": str(2**53 + 1)}, {"intValue": 2**53 + 1}], 2**53 + 1),
    "negative": (AnyValue(int_value=-5), [{"intValue": "-5"}, {"intValue": -5}], -5),
    "zero": (AnyValue(int_value=0), [{"intValue": "0"}], 0),
    "real": (AnyValue(double_value=0.5), [{"doubleValue": 0.5}, {"doubleValue": "0.5"}], 0.5),
    "bytes": (AnyValue(bytes_value=b"\0\xff"), [{"bytesValue": base64.b64encode(b"\0\xff").decode()}], "AP8="),
    "list": (
        AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue()])),
        [{"arrayValue": {"values": [{"intValue": "1"}, {}]}}, {"arrayValue": {"values": [{"intValue": 1}, None]}}],
        [1, None],
    ),
    "object": (
        AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="a", value=AnyValue(string_value="b"))])),
        [{"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}}],
        {"a": "b"},
    ),
    "nothing": (AnyValue(), [{}, None], None),
}


@pytest.mark.parametrize("name", VALUES)
def test_both_encodings_have_the_same_values(front: Front, name: str) -> None:
    in_protobuf, in_json, expected = VALUES[name]
    assert post(front, packed(KeyValue(key="llm.x", value=in_protobuf))).content == b""
    bodies = [written(("llm.x", value), unknown={"a": 1}) for value in in_json]
    for body in bodies:
        front.delivery.recent.clear()
        assert post(front, body, JSON).json() == {}
    rows = front.rows()
    assert [row["properties"]["llm.x"] for row in rows] == [expected] * (1 + len(bodies))
    assert {row["properties"]["$ai_trace_id"] for row in rows} == {TRACE}
    assert {row["uuid"] for row in rows} == {rows[0]["uuid"]}


@pytest.mark.parametrize("value", [10**400, -(10**4000), "1e400", "x"], ids=["large", "small", "infinite", "text"])
def test_a_number_beyond_all_numbers_costs_no_span(front: Front, value: int | str) -> None:
    body = written(("llm.x", {"doubleValue": value}), ("llm.y", {"stringValue": "y"}))
    assert post(front, body, JSON).json() == {}
    [row] = front.rows()
    assert (row["properties"].get("llm.x"), row["properties"]["llm.y"]) == (None, "y")


def test_both_encodings_say_that_a_span_failed(front: Front) -> None:
    post(front, packed(status=Status(code=Status.STATUS_CODE_ERROR, message="broke")))
    for code in (2, "2", "STATUS_CODE_ERROR"):
        front.delivery.recent.clear()
        post(front, written(status={"code": code, "message": "broke"}), JSON)
    assert [row["properties"]["$ai_error"] for row in front.rows()] == ["broke"] * 4
    for code in (0, 1, None):
        front.delivery.recent.clear()
        post(front, written(status={"code": code, "message": "fine"}), JSON)
    assert not any("$ai_is_error" in row["properties"] for row in front.rows())


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
def test_both_encodings_may_be_compressed(
    front: Front, media_type: str, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body = pack(packed() if media_type == PROTOBUF else written())
    answer = post(front, body, media_type, **{"Content-Encoding": encoding})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert len(front.rows()) == 1


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
def test_a_token_over_its_rate_and_lost_spans_are_told_when_to_come_back(front: Front, media_type: str) -> None:
    token = front.add_token("gvt_" + "o" * 43, 2, events_per_s=1)
    body = packed() if media_type == PROTOBUF else written()
    for _ in range(5):
        answer = post(front, body, media_type, Authorization=f"Bearer {token}")
    over_rate, front.delivery.lost = answer, {row["uuid"] for row in front.rows()}
    front.delivery.recent.clear()
    for answer, status, code in ((over_rate, 429, 8), (post(front, body, media_type), 503, 14)):
        assert (answer.status_code, answer.headers["content-type"]) == (status, media_type)
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        if media_type == PROTOBUF:
            assert answer.content[:3] == bytes([8, code, 18])
        else:
            assert answer.json()["code"] == code
            assert answer.json()["message"]


def test_a_span_over_8_mib_is_rejected_undecoded(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("it was decoded")

    large = KeyValue(key="llm.x", value=AnyValue(string_value="x" * (8 * MIB)))
    with monkeypatch.context() as patch:
        patch.setattr(envelope, "decode_span", decode)
        answer = post(front, packed(large))
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_spans) == (200, 1)
    assert "8388608" in partial.error_message
    assert front.messages() == []


def test_a_span_whose_row_is_over_8_mib_is_rejected(front: Front) -> None:
    controls = KeyValue(key="llm.x", value=AnyValue(string_value="\x01" * (2 * MIB)))  # each takes six bytes in JSON
    answer = post(front, packed(controls))
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_spans) == (200, 1)
    assert "the limit is" in partial.error_message


def test_spans_of_every_kind_are_written_where_the_operator_wants_them(tmp_path: Path) -> None:
    kinds = {"$ai_generation": "chat", "$ai_embedding": "embeddings", "$ai_span": "plan", "$ai_trace": "invoke_agent"}
    spans = [
        {
            "traceId": TRACE, "spanId": f"{place:016x}", "parentSpanId": None if name == "$ai_trace" else SPAN,
            "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": operation}}],
        }
        for place, (name, operation) in enumerate(kinds.items(), start=1)
    ]  # fmt: skip
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    with Front(tmp_path, forward=tuple(kinds)).open() as front:
        assert post(front, body, JSON).json() == {}
        assert [row["event"] for row in front.rows()] == list(kinds)
    with Front(tmp_path).open() as front:
        assert post(front, body, JSON).json() == {}
        assert [each.key for each in front.messages()] == [f"{TEAM}:{TRACE}".encode()]
        assert front.count("gavel_ingest_not_forwarded_total", event="$ai_trace") == 1


def test_the_resource_attributes_that_are_kept_are_a_setting(tmp_path: Path) -> None:
    body = json.loads(written())
    named = [{"key": key, "value": {"stringValue": "x"}} for key in ("service.name", "host.name", "k8s.pod.name")]
    body["resourceSpans"][0]["resource"] = {"attributes": named}
    with Front(tmp_path, resource_attributes=("k8s.",)).open() as front:
        post(front, json.dumps(body).encode(), JSON)
        (row,) = front.rows()
    assert [name for name in row["properties"] if name in ("service.name", "host.name", "k8s.pod.name")] == [
        "k8s.pod.name"
    ]
