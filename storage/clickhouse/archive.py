"""Reading the archive of events in order, for replays.

Pages are read by key, so memory is bounded by a page whatever the range.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from storage.clickhouse.query import Where, rows, to_microseconds
from storage.clickhouse.rows import GENERATION
from storage.clickhouse.times import time_text

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True, order=True)
class ArchivePosition:
    """A place in the archive, in the order in which it is read."""

    team_id: int
    timestamp_us: int
    uuid: str


@dataclass(frozen=True, slots=True)
class ArchivedEvent:
    """One archived event, whole.

    Attributes:
        value: the row as JSON, as the events topic carries it.
        position: to go on after it.
    """

    value: bytes
    position: ArchivePosition
    team_id: int
    uuid: str
    timestamp: datetime


_ARCHIVED = (
    "uuid, toString(event) AS event, team_id, project_id, distinct_id, timestamp, created_at, elements_chain, "
    "person_id, toString(person_mode) AS person_mode, person_properties, group0_properties, group1_properties, "
    "group2_properties, group3_properties, group4_properties, properties"
)
_OPTIONAL = ("project_id", "person_id", "person_mode", "person_properties", *(f"group{n}_properties" for n in range(5)))
_encode = msgspec.json.Encoder().encode


def read_archive(
    client: Client,
    *,
    after: datetime | None = None,
    before: datetime | None = None,
    team_id: int | None = None,
    resume: ArchivePosition | None = None,
    page: int = 500,
) -> Iterator[ArchivedEvent]:
    """Yield archived events by team, time and id, for replays.

    Args:
        resume: go on after this position.
        page: rows in memory at a time.
    """
    position = resume
    while True:
        found = _archive_page(client, after, before, team_id, position, page)
        for row in found:
            event = _archived(row)
            yield event
            position = event.position
        if len(found) < page:
            return


def count_archive(
    client: Client, *, after: datetime | None = None, before: datetime | None = None, team_id: int | None = None
) -> int:
    """Return how many distinct events `read_archive` has in all."""
    where = _generations(after, before, team_id)
    query = f"SELECT count() AS found FROM ai_events FINAL WHERE {where.text}"
    return int(rows(client, query, where.values)[0]["found"])


def _generations(after: datetime | None, before: datetime | None, team_id: int | None) -> Where:
    """Return the condition for generations: the archive may hold other events too (`ingest.forward`)."""
    where = Where()
    where.add("event = {event:String}", event=GENERATION)
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    where.between(after, before)
    return where


def _archive_page(
    client: Client,
    after: datetime | None,
    before: datetime | None,
    team_id: int | None,
    position: ArchivePosition | None,
    page: int,
) -> list[dict[str, Any]]:
    where = _generations(after, before, team_id)
    if position is not None:
        where.add(
            "(team_id, timestamp, uuid) > "
            "({key_team:Int64}, fromUnixTimestamp64Micro({key_us:Int64}, 'UTC'), {key_uuid:String})",
            key_team=position.team_id,
            key_us=position.timestamp_us,
            key_uuid=position.uuid,
        )
    # Copies of an event have one sort key, so they lie side by side and the page is read in the table's order;
    # FINAL would go through the whole range for every page.
    query = f"""
        SELECT {_ARCHIVED} FROM ai_events WHERE {where.text}
        ORDER BY team_id, timestamp, uuid, precedence DESC
        LIMIT 1 BY team_id, timestamp, uuid
        LIMIT {{page:UInt32}}
    """
    return rows(client, query, {**where.values, "page": page})


def _archived(row: dict[str, Any]) -> ArchivedEvent:
    moment: datetime = row["timestamp"]
    fields = {name: value for name, value in row.items() if value not in ("", None) or name not in _OPTIONAL}
    for name in ("timestamp", "created_at"):
        fields[name] = time_text(row[name])
    position = ArchivePosition(row["team_id"], to_microseconds(moment), row["uuid"])
    return ArchivedEvent(_encode(fields), position, row["team_id"], row["uuid"], moment)
