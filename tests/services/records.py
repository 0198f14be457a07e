"""Kafka records and wire rows for tests that need no broker."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from processor.stream.ledger import Span


@dataclass
class Record:
    """The part of a confluent_kafka message that a worker uses."""

    body: bytes | None
    at: int = 0
    in_topic: str = "results"
    in_partition: int = 0
    named: bytes | None = b"key"
    head: list[tuple[str, bytes]] = field(default_factory=list)
    time_ms: int = 1_780_000_000_000

    def value(self) -> bytes | None:
        return self.body

    def key(self) -> bytes | None:
        return self.named

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self.head or None

    def topic(self) -> str:
        return self.in_topic

    def partition(self) -> int:
        return self.in_partition

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (1, self.time_ms)

    def error(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.body or b"")


def span_of(records: list[Record]) -> Span:
    """A span as the stage would open it over `records` of one partition."""
    first = records[0]
    return Span(
        source=(first.in_topic, first.in_partition),
        messages=list(records),
        next_offset=records[-1].at + 1,
        size_bytes=sum(map(len, records)),
        assignment=1,
        opened_s=0.0,
        count=len(records),
    )


def result_id(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"result-{number}"))


def result_row(number: int = 0, *, row: dict[str, Any] | None = None, **properties: Any) -> bytes:
    """A result as Gavel emits it; keywords replace properties (`None` removes one), `row` outer fields."""
    target = str(uuid5(NAMESPACE_URL, f"event-{number}"))
    values: dict[str, Any] = {
        "$ai_evaluation_id": "0190c0de-0000-7000-8000-000000000001",
        "$ai_evaluation_name": "Answers the question",
        "$ai_evaluation_type": "online",
        "$ai_evaluation_runtime": "hog",
        "$ai_evaluation_result_type": "boolean",
        "$ai_evaluation_result": True,
        "$ai_evaluation_allows_na": False,
        "$ai_evaluation_reasoning": f"It does ({number}).",
        "$ai_evaluation_start_time": "2026-11-20T10:00:00.123456+00:00",
        "$ai_evaluation_trigger": "live",
        "$ai_evaluation_version": 3,
        "$ai_evaluation_fingerprint": "f" * 64,
        "$ai_evaluation_condition_id": "everything",
        "$ai_target_event_id": target,
        "$ai_target_event_type": "$ai_generation",
        "$ai_target_id": target,
        "$ai_target_type": "generation_uuid",
        "$ai_trace_id": f"trace-{number}",
    }
    values |= {f"$ai_{name}" if name[0] != "$" else name: value for name, value in properties.items()}
    outer = {
        "uuid": result_id(number),
        "event": "$ai_evaluation",
        "properties": json.dumps({name: value for name, value in values.items() if value is not None}),
        "team_id": 1,
        "project_id": 1,
        "distinct_id": f"person-{number % 7}",
        "timestamp": "2026-11-20 10:00:00.123456",
        "elements_chain": "",
        "created_at": "2026-11-20 10:00:00.123456",
        "person_mode": "full",
    }
    return json.dumps(outer | (row or {})).encode()


def measurement_row(number: int = 0) -> bytes:
    """The result of a measurement's run as Gavel emits it."""
    own = {"measurement_run_id": "0190c0de-0000-7000-8000-00000000000a", "measurement_item": f"item-{number}"}
    return result_row(number, row={"event": "$ai_evaluation_measurement"}, **own)


def generation_row(number: int = 0, *, row: dict[str, Any] | None = None, **properties: Any) -> bytes:
    """A generation event; keywords replace properties, `row` outer fields."""
    values: dict[str, Any] = {
        "$ai_trace_id": f"trace-{number}",
        "$ai_model": "gpt-5-mini",
        "$ai_provider": "openai",
        "$ai_input": [{"role": "user", "content": f"What is {number} squared?"}],
        "$ai_output_choices": [{"role": "assistant", "content": str(number * number)}],
        "$ai_input_tokens": 11,
        "$ai_output_tokens": 3,
        "$ai_latency": 0.75,
        "$ai_total_cost_usd": 0.0002,
        "$ai_http_status": 200,
        "$ai_is_error": False,
    }
    values |= {f"$ai_{name}" if name[0] != "$" else name: value for name, value in properties.items()}
    outer = {
        "uuid": str(uuid5(NAMESPACE_URL, f"event-{number}")),
        "event": "$ai_generation",
        "properties": json.dumps({name: value for name, value in values.items() if value is not None}),
        "team_id": 1,
        "project_id": 1,
        "distinct_id": f"person-{number % 7}",
        "timestamp": f"2026-11-20 10:{number // 60 % 60:02d}:{number % 60:02d}.000001",
        "created_at": "2026-11-20 10:00:01.000000",
        "elements_chain": "",
        "person_id": "p-1",
        "person_mode": "full",
        "person_properties": '{"plan":"pro"}',
        "group0_properties": "{}",
    }
    return json.dumps(outer | (row or {})).encode()


__all__ = ["Record", "generation_row", "measurement_row", "result_id", "result_row", "span_of"]
