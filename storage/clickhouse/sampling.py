"""Samples of a time range for clustering: always the same items of the same range, chosen by a hash of their ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.clickhouse.query import rows
from storage.clickhouse.rows import GENERATION, RowSelection

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True)
class SampledResult:
    """One item of a sample.

    Attributes:
        id: of the event; of a trace, its trace id.
        first, last: ids of its first and last event, which are one unless it is a trace.
        size_bytes: of the properties of both.
    """

    id: str
    first: str
    last: str
    size_bytes: int


def sample_events(client: Client, selection: RowSelection, limit: int) -> list[SampledResult]:
    """Return up to `limit` events of `selection`, which names the event. Samples of two ranges overlap as they can."""
    event = selection.event or GENERATION
    where = selection.where(event)
    table = "ai_events" if event == GENERATION else "evaluation_results"
    query = f"""
        SELECT uuid, max(length(properties)) AS size_bytes FROM {table} WHERE {where.text}
        GROUP BY uuid ORDER BY cityHash64(uuid), uuid LIMIT {{limit:UInt32}}
    """
    found = rows(client, query, {**where.values, "limit": limit})
    return [SampledResult(row["uuid"], row["uuid"], row["uuid"], int(row["size_bytes"])) for row in found]


def sample_traces(client: Client, selection: RowSelection, limit: int) -> list[SampledResult]:
    """Return up to `limit` traces that have generations in `selection`."""
    where = selection.where(GENERATION)
    query = f"""
        SELECT trace_id, argMin(uuid, (timestamp, uuid)) AS first, argMax(uuid, (timestamp, uuid)) AS last,
            argMin(length(properties), (timestamp, uuid)) + argMax(length(properties), (timestamp, uuid)) AS size_bytes
        FROM ai_events WHERE {where.text} AND trace_id != ''
        GROUP BY trace_id ORDER BY cityHash64(trace_id), trace_id LIMIT {{limit:UInt32}}
    """
    found = rows(client, query, {**where.values, "limit": limit})
    return [SampledResult(row["trace_id"], row["first"], row["last"], int(row["size_bytes"])) for row in found]
