"""Events that are on the results topic beside results: labels, decisions, drifts, reports, clusters and shifts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from processor.events.output import Headers, Output, OutputKind


class BesideEvent(NamedTuple):
    """One event. The `event` header lets a reader pass it over before any JSON."""

    value: bytes
    headers: Headers

    def output(self, kind: OutputKind, topic: str, key: bytes) -> Output:
        """Return the message for `topic`."""
        return Output(kind, topic, key, self.value, self.headers)


def beside_event(
    event: str, uuid: str, team_id: int, at: str, properties: Mapping[str, Any], *, distinct_id: str = ""
) -> BesideEvent:
    """Return an event in the outer form of a result.

    Args:
        event: its name.
        uuid: the same for a repeat, so that readers see the event once.
        at: its time as ClickHouse writes it.
    """
    row = {
        "uuid": uuid,
        "event": event,
        "properties": orjson.dumps(properties).decode(),
        "team_id": team_id,
        "project_id": team_id,
        "distinct_id": distinct_id,
        "timestamp": at,
        "elements_chain": "",
        "created_at": at,
        "person_mode": "propertyless",
    }
    return BesideEvent(orjson.dumps(row), [("event", event.encode()), ("team_id", str(team_id).encode())])
