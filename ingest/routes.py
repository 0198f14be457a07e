"""The paths of the front door, each with its protocol, its methods, and what serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from ingest import capture_parts, capture_v0, capture_v1, probes, stubs
from ingest.answers import Answer
from ingest.body import Receive
from ingest.door import Door, Request
from ingest.otlp import service, signals

Handler = Callable[[Door, Request, Receive], Awaitable[Answer]]
Protocol = Literal["v0", "v1", "otlp", "stub", "probe", "none"]


@dataclass(frozen=True, slots=True)
class Route:
    """One path: its protocol, its methods, and what serves it."""

    protocol: Protocol
    methods: tuple[str, ...]
    handler: Handler


def _routes() -> dict[str, Route]:
    routes = {
        path: Route("v0", ("POST", "GET"), capture_v0.capture)
        for path in ("/batch", "/capture", "/e", "/i/v0/e", "/track", "/engage", "/i/v0/ai/batch")
    }
    routes["/i/v0/ai"] = Route("v0", ("POST",), capture_parts.capture)
    for path in ("/i/v1/analytics/events", "/i/v1/ai/events"):
        routes[path] = Route("v1", ("POST",), capture_v1.capture)
    for path in ("/v1/traces", "/i/v0/ai/otel", "/i/v0/ai/otel/v1/traces", "/i/v1/traces"):
        routes[path] = Route("otlp", ("POST",), service.traces)
    for base in ("", "/i/v0/ai/otel", "/i"):
        routes[f"{base}/v1/logs"] = Route("otlp", ("POST",), signals.logs)
        routes[f"{base}/v1/metrics"] = Route("otlp", ("POST",), signals.metrics)
    for path in ("/flags", "/decide"):
        routes[path] = Route("stub", ("POST", "GET"), stubs.flags)
    routes["/flags/definitions"] = Route("stub", ("GET",), stubs.definitions)
    routes["/s"] = Route("stub", ("POST",), stubs.recordings)
    routes["/livez"] = Route("probe", ("GET",), probes.live)
    routes["/readyz"] = Route("probe", ("GET",), probes.ready)
    routes["/metrics"] = Route("probe", ("GET",), probes.metrics)
    return routes


ROUTES = _routes()
"""Path without a trailing slash → what serves it. The paths of `/array/…` are matched by their shape."""
_CONFIG = Route("stub", ("GET",), stubs.config)


def find_route(path: str) -> Route | None:
    """Return what serves `path`, with or without a trailing slash; None if nothing does."""
    found = ROUTES.get(path.rstrip("/") or "/")
    if found is not None:
        return found
    parts = path.rstrip("/").split("/")
    if len(parts) == 4 and parts[1] == "array" and parts[3] in ("config", "config.js"):
        return _CONFIG
    return None
