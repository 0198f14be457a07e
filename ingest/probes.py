"""Probes and metrics of the front door.

Several processes may share its port. Then their supervisor answers, because each of them knows only itself.
"""

from __future__ import annotations

import asyncio

import msgspec
from prometheus_client import generate_latest

from ingest.answers import Answer
from ingest.body import Receive
from ingest.door import Door, OutsideProbe, Request

_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


async def live(door: Door, request: Request, _receive: Receive) -> Answer:
    """Answer that the process lives."""
    if door.probes is not None:
        return await _outside(door.probes, request.path)
    return Answer(200, b'{"ok": true}')


async def ready(door: Door, request: Request, _receive: Receive) -> Answer:
    """Answer whether a balancer should send requests here, and if not, why."""
    if door.probes is not None:
        return await _outside(door.probes, request.path)
    details = own_readiness(door)
    return Answer(200 if door.ready else 503, msgspec.json.encode({"ok": door.ready, **details}))


async def metrics(door: Door, request: Request, _receive: Receive) -> Answer:
    """Answer with the metrics of the process."""
    if door.probes is not None:
        return await _outside(door.probes, request.path, _TEXT)
    return Answer(200, generate_latest(door.metrics.registry), _TEXT)


def own_readiness(door: Door) -> dict[str, bool]:
    """Return the parts of the readiness of this process alone."""
    return {"tokens": door.tokens.ready, "kafka": not door.delivery.failing, "stopping": door.stopping}


async def _outside(probes: OutsideProbe, path: str, media_type: bytes = b"application/json") -> Answer:
    try:
        status, body = await asyncio.to_thread(probes, path)
    except OSError:
        return Answer(503, b'{"ok": false, "reason": "the supervisor does not answer"}')
    return Answer(status, body, media_type)
