"""The answers of OTLP, each in the encoding of its request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from ingest.answers import Answer, Refusal

PROTOBUF, JSON = "application/x-protobuf", "application/json"
CODES = {400: 3, 401: 16, 404: 5, 405: 12, 408: 4, 413: 3, 415: 3, 429: 8, 500: 13, 503: 14}
"""HTTP status → code of google.rpc.Status."""


def success(
    media_type: str,
    field: Literal["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"],
    rejected: int,
    message: str,
) -> Answer:
    """Return the answer to a request that was taken; `partial_success` says how much of it was rejected, and why.

    Args:
        field: the name of the number in JSON. In protobuf the answers to all signals have the same fields.
    """
    if media_type == PROTOBUF:
        if not rejected:
            return Answer(200, b"", PROTOBUF.encode())
        partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
        body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
        return Answer(200, body, PROTOBUF.encode())
    if not rejected:
        return Answer(200, b"{}")
    return Answer(200, msgspec.json.encode({"partialSuccess": {field: str(rejected), "errorMessage": message}}))


def refusal(refused: Refusal, headers: Mapping[str, str], extra: tuple[tuple[bytes, bytes], ...]) -> Answer:
    """Return a refusal as google.rpc.Status, in the encoding of the request."""
    code = CODES.get(refused.status, 2)
    if headers.get("content-type", "").partition(";")[0].strip().lower() == PROTOBUF:
        text = refused.detail.encode()
        body = b"\x08" + bytes([code]) + b"\x12" + _varint(len(text)) + text
        return Answer(refused.status, body, PROTOBUF.encode(), extra)
    return Answer(refused.status, msgspec.json.encode({"code": code, "message": refused.detail}), headers=extra)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
