"""Traces as OpenTelemetry's spans and log records, by the conventions for generative AI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import set_span_in_context

from processor.tracing.ids import TraceIds, ids_of
from processor.tracing.queue import CallTrace, ResultTrace

RESULT_EVENT_NAME = "gen_ai.evaluation.result"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_MAX_TEXT_CHARS = 4_000
_NS_PER_S = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COPIED = {
    "$ai_evaluation_id": "gavel.evaluation.id",
    "$ai_evaluation_version": "gavel.evaluation.version",
    "$ai_evaluation_runtime": "gavel.evaluation.runtime",
    "$ai_evaluation_trigger": "gavel.evaluation.trigger",
    "$ai_evaluation_skip_reason": "gavel.evaluation.skip_reason",
    "$ai_evaluation_cost_usd": "gavel.evaluation.cost_usd",
    "$ai_evaluation_cached": "gavel.evaluation.cached",
    "$ai_target_event_id": "gavel.event.uuid",
    "$ai_session_id": "gen_ai.conversation.id",
}
"""Property of a result → attribute of its span."""

Attributes = dict[str, str | bool | int | float]


class Spans:
    """Makes spans and log records of one process.

    Args:
        resource: attributes of the process, such as `service.name`.
        version: of Gavel.
    """

    def __init__(self, resource: Mapping[str, str], version: str) -> None:
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope("gavel", version)

    def evaluation(self, trace: ResultTrace) -> tuple[ReadableSpan, ReadableLogRecord]:
        """Return the span of an evaluation, from its match to the commit of its result, and its result as an event.

        Raises:
            ValueError: the bytes are not a result.
        """
        row, properties = _read(trace.value)
        ids = ids_of(row["uuid"], properties.get("$ai_trace_id"), properties.get("$ai_span_id"))
        result = _result_attributes(properties)
        attributes: Attributes = {"gavel.result.id": row["uuid"], "gavel.team.id": row["team_id"], **result}
        attributes.pop("gen_ai.evaluation.explanation", None)  # the event has it
        for name, attribute in _COPIED.items():
            value = properties.get(name)
            if isinstance(value, str | bool | int | float):
                attributes[attribute] = value
        if not ids.linked and isinstance(properties.get("$ai_trace_id"), str):
            attributes["gavel.event.trace_id"] = properties["$ai_trace_id"][:_MAX_TEXT_CHARS]
        started_ns = min(_epoch_ns(properties.get("$ai_evaluation_start_time"), trace.committed_ns), trace.committed_ns)
        span = self._span(
            f"evaluate {properties.get('$ai_evaluation_name', '')}"[:200],
            ids,
            span_id=ids.span_id,
            parent_id=ids.parent_id,
            attributes=attributes,
            kind=SpanKind.INTERNAL,
            times=(started_ns, trace.committed_ns),
            error="",
        )
        return span, self._event(ids, result, trace.committed_ns)

    def call(self, trace: CallTrace, number: int) -> ReadableSpan:
        """Return the span of one call to a provider, below the span of its evaluation.

        Args:
            number: of the call in this process, so that several calls of one run differ.
        """
        ids = ids_of(trace.result_id, trace.trace_id)
        attributes: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": trace.provider,
            "gen_ai.request.model": trace.model,
            "gavel.evaluation.id": trace.evaluation_id,
            "gavel.team.id": trace.team_id,
            "gavel.result.id": trace.result_id,
        }
        address = urlsplit(trace.address)
        if address.hostname:
            attributes["server.address"] = address.hostname
        known = {
            "gen_ai.response.model": trace.response_model or None,
            "gen_ai.usage.input_tokens": trace.input_tokens,
            "gen_ai.usage.output_tokens": trace.output_tokens,
        }
        attributes.update({name: value for name, value in known.items() if value is not None})
        failed = "" if trace.outcome == "answered" else trace.outcome
        return self._span(
            f"chat {trace.model}",
            ids,
            span_id=((ids.span_id ^ number ^ trace.ended_ns) & (2**64 - 1)) or 1,
            parent_id=ids.span_id,
            attributes=attributes,
            kind=SpanKind.CLIENT,
            times=(trace.ended_ns - int(trace.took_s * _NS_PER_S), trace.ended_ns),
            error=failed,
        )

    def _span(
        self,
        name: str,
        ids: TraceIds,
        *,
        span_id: int,
        parent_id: int,
        attributes: Attributes,
        kind: SpanKind,
        times: tuple[int, int],
        error: str,
    ) -> ReadableSpan:
        # Made directly, because a tracer of the SDK would choose the ids, and the times are in the past.
        if error:
            attributes["error.type"] = error
        return ReadableSpan(
            name,
            context=_context(ids.trace_id, span_id),
            parent=_context(ids.trace_id, parent_id) if parent_id else None,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            status=Status(StatusCode.ERROR, error) if error else Status(),
            start_time=times[0],
            end_time=times[1],
            instrumentation_scope=self._scope,
        )

    def _event(self, ids: TraceIds, attributes: Attributes, at_ns: int) -> ReadableLogRecord:
        """Return the event, below the generation's span if that is known, otherwise below the evaluation's."""
        context = _context(ids.trace_id, ids.parent_id or ids.span_id)
        record = LogRecord(
            timestamp=at_ns,
            observed_timestamp=at_ns,
            context=set_span_in_context(NonRecordingSpan(context)),
            severity_number=SeverityNumber.INFO,
            attributes=attributes,
            event_name=RESULT_EVENT_NAME,
        )
        return ReadableLogRecord(record, self._resource, self._scope)


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)


def _read(value: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    row = json.loads(value)
    properties = json.loads(row["properties"])
    if not isinstance(properties, dict):
        raise ValueError("the properties of the result are not an object")
    return row, properties


def _result_attributes(properties: Mapping[str, Any]) -> Attributes:
    found: Attributes = {"gen_ai.evaluation.name": str(properties.get("$ai_evaluation_name", ""))}
    reasoning = properties.get("$ai_evaluation_reasoning")
    if reasoning:
        found["gen_ai.evaluation.explanation"] = str(reasoning)[:_MAX_TEXT_CHARS]
    if properties.get("$ai_evaluation_skipped"):
        found["error.type"] = str(properties.get("$ai_evaluation_skip_reason"))
        return found
    score, result = properties.get("$ai_evaluation_numeric_result"), properties.get("$ai_evaluation_result")
    categories = properties.get("$ai_evaluation_categorical_result")
    if isinstance(result, bool):
        found["gen_ai.evaluation.score.value"] = float(result)
        found["gen_ai.evaluation.score.label"] = "pass" if result else "fail"
    elif isinstance(score, int | float):
        found["gen_ai.evaluation.score.value"] = float(score)
    elif isinstance(categories, list):
        found["gen_ai.evaluation.score.label"] = ", ".join(map(str, categories))[:_MAX_TEXT_CHARS]
    else:
        found["gen_ai.evaluation.score.label"] = "not_applicable"
    return found


def _epoch_ns(text: Any, otherwise_ns: int) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return otherwise_ns
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000
