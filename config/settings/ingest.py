"""Settings of the front door."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.settings.section import CommaList, OptionMap, Port, SettingsSection

Forwardable = Literal["$ai_generation", "$ai_trace", "$ai_span", "$ai_embedding", "$ai_metric", "$ai_feedback"]
"""Events that may be written to the events topic. `$ai_evaluation` is Gavel's own and never taken."""


class Ingest(SettingsSection):
    """The front door: events of applications over HTTP (`gavel ingest`, and a part of `gavel up`)."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""
    port: Port = 4318
    """Port to listen on, by default the one of OTLP; 0 lets the system choose."""
    max_bytes: Annotated[int, Field(ge=67_108_864)] = 268_435_456
    """Bytes that all requests of a process may hold together; more are answered with 503. One token may hold a
    quarter."""
    forward: Annotated[tuple[Forwardable, ...], CommaList] = ("$ai_generation",)
    """Events that are written to the events topic. Others are accepted and counted, but not kept."""
    judge_historical: bool = False
    """Whether events that a client marks as `historical_migration` are judged as they arrive. Otherwise they are
    archived only, and a backfill judges them."""
    drop_properties: Annotated[tuple[str, ...], CommaList] = ("$ip",)
    """Properties that are removed before an event is written."""
    resource_attributes: Annotated[tuple[str, ...], CommaList] = ("service.", "deployment.environment")
    """OpenTelemetry resource attributes that are kept with each span, by the beginning of their names."""
    redact: Annotated[dict[str, str], OptionMap] = Field(default_factory=dict)
    """Patterns that are replaced in a property before an event is written, such as `{"$ai_input": "email card"}`. Ready
    ones are `email`, `card`, `phone` and `api_key`. An event that cannot be redacted is not written."""
    redact_patterns: Annotated[dict[str, str], OptionMap] = Field(default_factory=dict)
    """RE2 patterns of your own for `redact`, by name; `[name]` replaces what they match."""
    drain_s: Annotated[float, Field(ge=0, le=60)] = 5.0
    """Seconds after SIGTERM in which requests are still taken, so that a load balancer notices first."""
