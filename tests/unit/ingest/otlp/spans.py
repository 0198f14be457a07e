"""Spans for tests, and the events that become of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ingest.otlp.mapping import kind_of, plan_of_span, to_event
from ingest.otlp.span import Span, SpanEvent
from ingest.rows import Event

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
START = datetime(2026, 11, 28, 10, tzinfo=UTC)
START_NS = int(START.timestamp()) * 1_000_000_000
YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)
TRACE, SPAN, PARENT, TEAM = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7", 7


def span(
    attributes: Mapping[str, Any], *events: SpanEvent, parent: str = PARENT, took_ns: int = 10**9, **changes: Any
) -> Span:
    given = {"trace_id": TRACE, "span_id": SPAN, "name": "the span", "start_ns": START_NS, **changes}
    end_ns = given.pop("end_ns", START_NS + took_ns)
    return Span(parent_id=parent, end_ns=end_ns, attributes=dict(attributes), events=list(events), **given)


def event_of(given: Span) -> Event:
    plan = plan_of_span(given)
    name, convention = kind_of(given, plan)
    kept = ("service.", "deployment.environment")
    return to_event(given, plan, name, convention, team_id=TEAM, now=NOW, kept=kept, dropped=())


def properties_of(given: Span) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event_of(given).properties)
    return found
