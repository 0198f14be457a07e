"""Name, time, ids, environment and failure of the event that a span becomes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from ingest.otlp.span import SpanEvent
from tests.unit.ingest.otlp.spans import (
    NOW,
    PARENT,
    SPAN,
    START,
    START_NS,
    TEAM,
    TRACE,
    YEAR_2000,
    event_of,
    properties_of,
    span,
)


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({}, "the span"),
        ({"gen_ai.tool.name": "f", "gen_ai.agent.name": "a"}, "f"),
        ({"ai.toolCall.name": "f", "ai.telemetry.functionId": "g"}, "f"),
        ({"gen_ai.agent.name": "a"}, "a"),
        ({"ai.telemetry.functionId": "g"}, "g"),
    ],
)
def test_the_name_of_a_span(attributes: dict[str, Any], name: str) -> None:
    assert properties_of(span({"traceloop.span.kind": "tool", **attributes}))["$ai_span_name"] == name
    assert properties_of(span({"gen_ai.operation.name": "chat", **attributes}))["$ai_span_name"] == "the span"


@pytest.mark.parametrize(
    ("times", "timestamp", "latency"),
    [
        ({}, START, 1.0),
        ({"end_ns": START_NS}, START, None),
        ({"end_ns": START_NS - 1}, START, None),
        ({"start_ns": 0}, START + timedelta(seconds=1), None),
        ({"start_ns": 0, "end_ns": 0}, NOW, None),
        ({"start_ns": 946_684_800 * 10**9}, YEAR_2000, (START - YEAR_2000).total_seconds() + 1),
        ({"start_ns": START_NS + 26 * 3600 * 10**9}, NOW, None),
        ({"start_ns": START_NS + 24 * 3600 * 10**9}, START + timedelta(hours=24), None),
        ({"start_ns": 2**64 - 1}, NOW, None),
    ],
)
def test_the_time_of_a_span_is_taken_as_it_is_sent(
    times: dict[str, int], timestamp: datetime, latency: float | None
) -> None:
    event = event_of(span({"gen_ai.operation.name": "chat"}, **times))
    assert event.timestamp == timestamp
    assert json.loads(event.properties).get("$ai_latency") == latency


def test_ids_are_those_of_the_span_and_the_event_has_one_of_them() -> None:
    event = event_of(span({"gen_ai.operation.name": "chat"}))
    assert event.uuid == str(uuid5(NAMESPACE_URL, f"gavel://otlp/{TEAM}/{TRACE}/{SPAN}"))
    assert event.distinct_id == str(uuid5(NAMESPACE_URL, f"gavel://otlp/{TEAM}/{TRACE}"))
    found = json.loads(event.properties)
    assert (found["$ai_trace_id"], found["$ai_span_id"], found["$ai_parent_id"]) == (TRACE, SPAN, PARENT)
    assert "$ai_parent_id" not in properties_of(span({"gen_ai.operation.name": "chat"}, parent=""))


def test_the_environment_of_a_resource_is_kept() -> None:
    resource = {
        "deployment.environment": "a",
        "deployment.environment.name": "b",
        "service.version": "1",
        "os.type": "x",
    }
    found = properties_of(span({"llm.x": 1}, resource=resource))
    assert {name: found.get(name) for name in resource} == {**resource, "os.type": None}


@pytest.mark.parametrize(
    "name", ["http.response.status_code", "http.status_code", "gen_ai.response.status_code", "error.code"]
)
def test_the_status_of_a_failure_has_several_names(name: str) -> None:
    failed = properties_of(span({"llm.x": 1, name: 429}, failed=True, status_message="HTTP 503"))
    assert (failed["$ai_is_error"], failed["$ai_error"], failed["$ai_http_status"]) == (True, "HTTP 503", 429)
    fine = properties_of(span({"llm.x": 1, name: 429}, status_message="HTTP 503"))
    assert {"$ai_is_error", "$ai_error", "$ai_http_status"} & fine.keys() == set()


def test_the_last_exception_says_what_failed() -> None:
    thrown = [SpanEvent("exception", {"exception.type": kind, "exception.message": "m"}) for kind in ("A", "B")]
    assert properties_of(span({"llm.x": 1}, *thrown, SpanEvent("other", {}), failed=True))["$ai_error"] == "B: m"
