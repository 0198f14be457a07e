"""A span of OpenTelemetry as the mapping sees it, whichever encoding it came in."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

Attributes = dict[str, Any]
"""Names to JSON values."""


class UnreadableSpan(Exception):
    """A span that cannot be taken; the message says why."""


@dataclass(slots=True)
class SpanEvent:
    """One event inside a span."""

    name: str
    attributes: Attributes


@dataclass(slots=True)
class Span:
    """One span.

    Attributes:
        trace_id, span_id, parent_id: lower-case hex; `parent_id` is empty for a root.
        start_ns, end_ns: since 1970; 0 where the client gave none.
        resource: attributes of the process that made it.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    events: list[SpanEvent] = field(default_factory=list)
    failed: bool = False
    status_message: str = ""
    resource: Attributes = field(default_factory=dict)


def decode_span(raw: bytes | memoryview, resource: Attributes) -> Span:
    """Return a span out of its protobuf bytes.

    Raises:
        UnreadableSpan: it is damaged, holds text that is not UTF-8, or is nested too deeply.
    """
    wire = WireSpan()
    try:
        wire.ParseFromString(bytes(raw))
    except DecodeError as error:
        raise UnreadableSpan("the span is damaged, holds text that is not UTF-8, or is nested too deeply") from error
    check_ids(wire.trace_id, wire.span_id)
    return Span(
        trace_id=wire.trace_id.hex(),
        span_id=wire.span_id.hex(),
        parent_id=wire.parent_span_id.hex() if any(wire.parent_span_id) else "",
        name=wire.name,
        start_ns=wire.start_time_unix_nano,
        end_ns=wire.end_time_unix_nano,
        attributes=attributes_of(wire.attributes),
        events=[SpanEvent(event.name, attributes_of(event.attributes)) for event in wire.events],
        failed=wire.status.code == Status.STATUS_CODE_ERROR,
        status_message=wire.status.message,
        resource=resource,
    )


def check_ids(trace_id: bytes, span_id: bytes) -> None:
    """Return if both ids are of the right length and not all zero.

    Raises:
        UnreadableSpan: they are not. Log records that are sent here decode as spans without ids.
    """
    if len(trace_id) != 16 or not any(trace_id):
        raise UnreadableSpan("the trace id is not 16 bytes, or all of them are zero")
    if len(span_id) != 8 or not any(span_id):
        raise UnreadableSpan("the span id is not 8 bytes, or all of them are zero")


def decode_resource(raw: bytes | memoryview) -> Attributes:
    """Return the attributes of a resource.

    Raises:
        UnreadableSpan: it cannot be decoded, so its spans are not complete.
    """
    resource = Resource()
    try:
        resource.ParseFromString(bytes(raw))
    except DecodeError as error:
        raise UnreadableSpan("the resource of the span cannot be decoded") from error
    return attributes_of(resource.attributes)


def attributes_of(pairs: Iterable[KeyValue]) -> Attributes:
    """Return attributes as JSON values; the last of several with one name wins."""
    found: Attributes = {}
    for pair in pairs:
        value = pair.value
        found[pair.key] = value.string_value or _value(value)  # nearly every value is text
    return found


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None if kind is None else getattr(value, kind)
