"""OTLP in JSON: ids are hex, enums are integers, 64-bit numbers are text or numbers, unknown keys are ignored."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from ingest.answers import Refusal, invalid
from ingest.json_text import Counted, TooMany, check_elements, decode, is_too_deep, too_many
from ingest.otlp.span import Attributes, Span, SpanEvent, UnreadableSpan, check_ids

_STATUS_ERROR = 2
_Whole = TypeVar("_Whole")
Number = int | float | str | None


class _Wire(msgspec.Struct, rename="camel", gc=False):
    pass


class _Value(_Wire):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Number = None
    double_value: Number = None
    array_value: _Values | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class _Values(_Wire):
    values: list[_Value | None] | None = None


class _Pair(_Wire):
    key: str | None = None
    value: _Value | None = None


class _Pairs(_Wire):
    values: list[_Pair | None] | None = None


class _Event(_Wire):
    name: str | None = None
    attributes: list[_Pair | None] | None = None


class _Status(_Wire):
    code: Number = None
    message: str | None = None


class _Span(_Wire):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    attributes: list[_Pair | None] | None = None
    events: list[_Event | None] | None = None
    status: _Status | None = None


class _Resource(_Wire):
    attributes: list[_Pair | None] | None = None


class _ScopeSpans(Counted, rename="camel", gc=False):
    spans: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _ResourceSpans(Counted, rename="camel", gc=False):
    resource: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    scope_spans: list[_ScopeSpans] | None = None


class _Request(_Wire):
    resource_spans: list[_ResourceSpans] | None = None


_List = msgspec.Raw | msgspec.UnsetType


class _ScopeLogs(Counted, rename="camel", gc=False):
    log_records: _List = msgspec.UNSET


class _ResourceLogs(Counted, rename="camel", gc=False):
    scope_logs: list[_ScopeLogs] | None = None


class _Logs(_Wire):
    resource_logs: list[_ResourceLogs] | None = None


class _Data(Counted, rename="camel", gc=False):
    data_points: _List = msgspec.UNSET


class _Metric(Counted, rename="camel", gc=False):
    gauge: _Data | None = None
    sum: _Data | None = None
    histogram: _Data | None = None
    exponential_histogram: _Data | None = None
    summary: _Data | None = None


class _ScopeMetrics(Counted, rename="camel", gc=False):
    metrics: list[_Metric] | None = None


class _ResourceMetrics(Counted, rename="camel", gc=False):
    scope_metrics: list[_ScopeMetrics] | None = None


class _Metrics(_Wire):
    resource_metrics: list[_ResourceMetrics] | None = None


_logs_decoder = msgspec.json.Decoder(_Logs)
_metrics_decoder = msgspec.json.Decoder(_Metrics)
_request_decoder = msgspec.json.Decoder(_Request)
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_span = msgspec.json.Decoder(_Span).decode
_decode_resource = msgspec.json.Decoder(_Resource | None).decode


class JsonPacked:
    """A span in JSON that is not decoded yet.

    Attributes:
        raw: its text as it came.
    """

    __slots__ = ("_resource", "raw")

    def __init__(self, raw: bytes, resource: bytes) -> None:
        self.raw = raw
        self._resource = resource

    def decode(self) -> Span:
        """Return the span.

        Raises:
            UnreadableSpan: it, or its resource, is of another shape, or nested too deeply.
        """
        if is_too_deep(self.raw):
            raise UnreadableSpan("the span is nested too deeply")
        try:
            resource = _decode_resource(self._resource) if self._resource else None
            return _span(_decode_span(self.raw), _attributes(resource.attributes) if resource else {})
        except (msgspec.ValidationError, RecursionError) as error:
            raise UnreadableSpan("the span is not a span of OTLP in JSON") from error


def walk(body: bytes) -> Iterator[JsonPacked]:
    """Yield the spans of an ExportTraceServiceRequest in their order.

    Raises:
        Refusal: 400, it is not JSON of that message; 413, it has too many parts.
    """
    for each in _decoded(body, _request_decoder).resource_spans or ():
        resource = b"" if isinstance(each.resource, msgspec.UnsetType) else bytes(each.resource)
        for scope in each.scope_spans or ():
            for raw in _listed(scope.spans):
                yield JsonPacked(bytes(raw), resource)


def count_log_records(body: bytes) -> int:
    """Return how many records an ExportLogsServiceRequest holds. Raises as `walk` does."""
    resources = _decoded(body, _logs_decoder).resource_logs or ()
    return sum(len(_listed(scope.log_records)) for each in resources for scope in each.scope_logs or ())


def count_data_points(body: bytes) -> int:
    """Return how many data points an ExportMetricsServiceRequest holds. Raises as `walk` does."""
    resources = _decoded(body, _metrics_decoder).resource_metrics or ()
    metrics = [metric for each in resources for scope in each.scope_metrics or () for metric in scope.metrics or ()]
    data = [getattr(metric, name) for metric in metrics for name in _Metric.__struct_fields__]
    return sum(len(_listed(each.data_points)) for each in data if each is not None)


def _decoded(body: bytes, decoder: msgspec.json.Decoder[_Whole]) -> _Whole:
    try:
        return decode(body, decoder)[0]
    except msgspec.ValidationError as error:
        raise _wrong_shape() from error


def _listed(items: _List) -> list[msgspec.Raw]:
    if isinstance(items, msgspec.UnsetType) or bytes(items) == b"null":
        return []
    try:
        check_elements(bytes(items))
        return _decode_list(items)
    except TooMany as error:
        raise too_many() from error
    except msgspec.ValidationError as error:
        raise _wrong_shape() from error


def _wrong_shape() -> Refusal:
    return invalid("bad_shape", "The body is not a request of OTLP in JSON.")


def _span(wire: _Span, resource: Attributes) -> Span:
    trace_id, span_id = _hex(wire.trace_id), _hex(wire.span_id)
    check_ids(trace_id, span_id)
    parent = _hex(wire.parent_span_id)
    status = wire.status or _Status()
    return Span(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_id=parent.hex() if any(parent) else "",
        name=wire.name or "",
        start_ns=_integer(wire.start_time_unix_nano) or 0,
        end_ns=_integer(wire.end_time_unix_nano) or 0,
        attributes=_attributes(wire.attributes),
        events=[SpanEvent(each.name or "", _attributes(each.attributes)) for each in wire.events or () if each],
        failed=_integer(status.code) == _STATUS_ERROR or status.code == "STATUS_CODE_ERROR",
        status_message=status.message or "",
        resource=resource,
    )


def _hex(text: str | None) -> bytes:
    try:
        return binascii.unhexlify(text or "")
    except ValueError as error:  # binascii.Error is one, and so is the error of text that is not ASCII
        raise UnreadableSpan("an id of the span is not hexadecimal") from error


def _attributes(pairs: list[_Pair | None] | None) -> Attributes:
    return {pair.key: _json(pair.value) for pair in pairs or () if pair is not None and pair.key is not None}


def _json(value: _Value | None) -> Any:
    if value is None:
        return None
    for plain in (value.string_value, value.bool_value, value.bytes_value):
        if plain is not None:
            return plain
    if value.int_value is not None:
        return _integer(value.int_value)
    if value.double_value is not None:
        return _double(value.double_value)
    if value.array_value is not None:
        return [_json(each) for each in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return _attributes(value.kvlist_value.values)
    return None


def _integer(value: Number) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        return int(text) if len(text) <= 20 and text.isascii() and text.removeprefix("-").isdigit() else None
    return int(value) if value is not None and abs(value) < 2**64 else None


def _double(value: Number) -> float | None:
    try:
        return None if value is None else float(value)
    except (ValueError, OverflowError):  # no number at all, or a whole number of more than 308 digits
        return None
