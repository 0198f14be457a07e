"""The event of a span: its kind by the rules, its properties by the tables, its ids from those of the span."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from ingest.json_text import has_nul_escape, is_too_deep, repair
from ingest.otlp import conventions
from ingest.otlp.conventions import Convention, EventName
from ingest.otlp.plans import Plan, Table, plan_of
from ingest.otlp.span import Span, UnreadableSpan
from ingest.rows import Event, normal_distinct_id
from ingest.times import correct
from processor.events.identity import url_uuid

_DEFAULT_ERROR_STATUS = 500
_STATUS_IN_TEXT = re.compile(r"\b[45]\d\d\b")
_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_STATUS_TEXT = 2_000
_encode = msgspec.json.Encoder().encode


def plan_of_span(span: Span) -> Plan:
    """Return the decisions that follow from the names of a span's attributes."""
    return plan_of(span.attributes, has_events=bool(span.events))


def is_ai(span: Span, plan: Plan) -> bool:
    """Return whether a span is one of an LLM application."""
    return plan.is_ai or any(event.name.startswith("gen_ai.") for event in span.events)


def kind_of(span: Span, plan: Plan) -> tuple[EventName, Convention]:
    """Return which event a span is, and the convention that says so."""
    for rule in plan.rules:
        value = span.attributes.get(rule.attribute, "")
        if value is None:
            continue
        text = str(value).lower()
        if _is_one(text, rule.generation, by_ending=rule.by_ending):
            return "$ai_generation", rule.convention
        if _is_one(text, rule.embedding, by_ending=rule.by_ending):
            return "$ai_embedding", rule.convention
        return _plain_kind(span), rule.convention
    has_content = plan.has_content or any(event.name in conventions.CONTENT_EVENTS for event in span.events)
    return ("$ai_generation" if plan.has_model and has_content else _plain_kind(span)), "GenAI"


def to_event(
    span: Span, plan: Plan, name: EventName, convention: Convention, *, team_id: int, now: datetime,
    kept: tuple[str, ...], dropped: Collection[str],
) -> Event:  # fmt: skip
    """Return the event of a span.

    Args:
        plan: of the span.
        kept: how the resource attributes begin that every event keeps.
        dropped: properties that may not be stored.

    Raises:
        UnreadableSpan: its values are nested too deeply.
    """
    properties, distinct_id = _properties(span, plan, name, kept)
    properties["$ai_lib"] = f"opentelemetry/{conventions.LIBRARIES[convention]}"
    properties["$ai_ingestion_source"] = "otel"
    for each in dropped:
        properties.pop(each, None)
    if distinct_id is None:
        distinct_id = _of_conversation(team_id, properties.get("$ai_session_id", span.trace_id))
    text = _encode(properties)
    if has_nul_escape(text):
        text = repair(text)
    if is_too_deep(text):
        raise UnreadableSpan("the values of the span are nested too deeply")
    return Event(
        uuid=url_uuid(f"gavel://otlp/{team_id}/{span.trace_id}/{span.span_id}"),
        name=name,
        distinct_id=distinct_id,
        timestamp=correct(_moment(span.start_ns) or _moment(span.end_ns), sent_at=None, now=now),
        properties=text,
        trace_id=span.trace_id,
    )


def _of_conversation(team_id: int, conversation: str) -> str:
    """Return the distinct id of a conversation that names no person."""
    name = f"gavel://otlp/{team_id}/{conversation}"
    return _known_uuid(name) if len(name) <= _KNOWN_CHARS else url_uuid(name)


_known_uuid = lru_cache(maxsize=256)(url_uuid)
"""The spans of a conversation come together."""
_KNOWN_CHARS = 200


def _is_one(value: str, of: tuple[str, ...], *, by_ending: bool) -> bool:
    return bool(of) and (value.endswith(of) if by_ending else value in of)


def _plain_kind(span: Span) -> EventName:
    return "$ai_span" if span.parent_id else "$ai_trace"


def _properties(span: Span, plan: Plan, name: EventName, kept: tuple[str, ...]) -> tuple[dict[str, Any], str | None]:
    """Return the properties and the distinct id. An explicit `$ai_…` attribute wins over every source."""
    attributes, resource = span.attributes, span.resource
    found: dict[str, Any] = {key: attributes[key] for key in plan.explicit}
    identity: dict[str, Any] = {}
    used: set[str] = set()
    content = name in ("$ai_generation", "$ai_embedding")
    _take_all(span, plan.content if content else plan.spans, found, used)
    _take_identity(span, plan, found, identity, used)
    if resource:
        of_resource = plan_of(resource, has_events=False)
        if of_resource.both:
            _take_identity(Span("", "", "", "", 0, 0, resource), of_resource, found, identity, used)
        for key, value in resource.items():
            if key.startswith(kept):
                found.setdefault(key, value)
    for key, value in attributes.items():
        if key not in used:
            found.setdefault(key, value)
    found["$ai_trace_id"] = span.trace_id
    found["$ai_span_id"] = span.span_id
    if span.parent_id:
        found["$ai_parent_id"] = span.parent_id
    if "$ai_span_name" not in found:
        found["$ai_span_name"] = _span_name(span, content=content)
    if span.end_ns > span.start_ns > 0:
        found.setdefault("$ai_latency", (span.end_ns - span.start_ns) / _NS)
    if span.failed:
        found |= _failure(span)
    if "$ai_session_id" in found:
        found["$ai_session_id"] = str(found["$ai_session_id"])
    value = identity.get("distinct_id")
    return found, normal_distinct_id(None if value is None else str(value))


def _take_identity(span: Span, plan: Plan, found: dict[str, Any], identity: dict[str, Any], used: set[str]) -> None:
    """Take the session, which is a property, and the distinct id, which is not."""
    for entry in plan.both:
        _take_all(span, (entry,), identity if entry[0] == "distinct_id" else found, used)


def _take_all(span: Span, table: Table, target: dict[str, Any], used: set[str]) -> None:
    for property_name, steps in table:
        if property_name in target:
            continue
        for reader, source in steps:
            view = span
            if source.how == "finish_reason":
                if source.key not in target:
                    continue
                view = Span("", "", "", "", 0, 0, {source.key: target[source.key]})
            taken = reader(view, source)
            if taken is not None:
                target[property_name] = taken.value
                used.update(taken.used)
                break


def _span_name(span: Span, *, content: bool) -> str:
    if not content:
        for name in conventions.SPAN_NAMES:
            if value := span.attributes.get(name):
                return str(value)
    return span.name


def _failure(span: Span) -> dict[str, Any]:
    """Return what a failed span says of its failure."""
    message = span.status_message
    for event in reversed(span.events):
        if event.name == "exception":
            kind, text = event.attributes.get("exception.type"), event.attributes.get("exception.message")
            message = ": ".join(str(each) for each in (kind, text) if each) or message
            break
    return {"$ai_is_error": True, "$ai_error": message, "$ai_http_status": _http_status(span.attributes, message)}


def _http_status(attributes: Mapping[str, Any], message: str) -> int:
    for name in conventions.HTTP_STATUSES:
        text = str(attributes.get(name, ""))
        if len(text) == 3 and text.isascii() and text.isdigit():
            return int(text)
    found = _STATUS_IN_TEXT.search(message[:_MAX_STATUS_TEXT])
    return int(found[0]) if found else _DEFAULT_ERROR_STATUS


def _moment(nanoseconds: int) -> datetime | None:
    if nanoseconds <= 0:
        return None
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None
