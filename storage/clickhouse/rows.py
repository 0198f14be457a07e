"""Archived events, and results as the events that they are, as the rows that conditions match: newest first.

Rows are read a few at a time by key, so memory is bound by a page, whatever the range. An event may have 8 MiB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from conditions import EventRow
from storage.clickhouse.query import PageEnd, Where, property_where, rows
from storage.clickhouse.times import time_text

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

GENERATION, RESULT = "$ai_generation", "$ai_evaluation"
PAGE = 50
_NEAR = timedelta(days=1)

_PERSON = ("person_id", "person_properties", *(f"group{n}_properties" for n in range(5)))
_SHARED = (
    "uuid, team_id, project_id, distinct_id, timestamp, created_at, toString(person_mode) AS person_mode, properties"
)
_NO_PERSON = ", ".join(f"'' AS {name}" for name in _PERSON)
_COLUMNS = {
    GENERATION: f"toString(event) AS event, {_SHARED}, elements_chain, {', '.join(_PERSON)}",
    RESULT: f"'{RESULT}' AS event, {_SHARED}, '' AS elements_chain, {_NO_PERSON}",
}


@dataclass(frozen=True, slots=True)
class RowSelection:
    """Which rows are read. Unset fields select everything; times are aware.

    Attributes:
        event: `$ai_generation`, `$ai_evaluation`, or None for both. Another one selects nothing.
        after: included. before: excluded.
    """

    team_id: int
    event: str | None = None
    uuid: str | None = None
    distinct_id: str | None = None
    person_id: str | None = None
    trace_id: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    uuids: Sequence[str] | None = None

    def where(self, event: str) -> Where:
        """Return the condition on the table that holds `event`."""
        where = Where()
        where.add("team_id = {team_id:Int64}", team_id=self.team_id)
        where.add("uuid = {uuid:String}", uuid=self.uuid)
        if self.uuids is not None:
            where.add("uuid IN {uuids:Array(String)}", uuids=list(self.uuids))
        where.add("distinct_id = {distinct_id:String}", distinct_id=self.distinct_id)
        where.add("trace_id = {trace_id:String}", trace_id=self.trace_id)
        if event == GENERATION:  # the archive may hold other events too (`ingest.forward`)
            where.add("event = {generation:String}", generation=GENERATION)
        if self.person_id is not None:
            column = "person_id" if event == GENERATION else "''"
            where.add(f"{column} = {{person_id:String}}", person_id=self.person_id)
        where.between(self.after, self.before)
        return where


def find_row(client: Client, team_id: int, uuid: str, *, event: str | None = None) -> EventRow | None:
    """Return the team's event or result with this id, or None."""
    return next(newest_rows(client, RowSelection(team_id, uuid=uuid, event=event), page=1), None)


def find_near(client: Client, selection: RowSelection, first: datetime, last: datetime) -> EventRow | None:
    """Return the newest row of a selection, or None.

    It is looked for within a day of `first` to `last` and only then everywhere, because that reads few months of the
    archive instead of all.
    """
    near = replace(selection, after=first - _NEAR, before=last + _NEAR)
    for place in (near, selection):
        row = next(newest_rows(client, place, page=1), None)
        if row is not None:
            return row
    return None


def newest_rows(client: Client, selection: RowSelection, *, page: int = PAGE) -> Iterator[EventRow]:
    """Yield rows, newest first, `page` in memory at a time."""
    last: dict[str, Any] | None = None
    while True:
        found = _page(client, selection, last, page)
        for raw in found:
            yield _row(raw)
        if len(found) < page:
            return
        last = found[-1]


def oldest_generations(
    client: Client, selection: RowSelection, *, behind: PageEnd | None = None, page: int = PAGE
) -> Iterator[EventRow]:
    """Yield generations of `selection`, oldest first, from behind a place on, `page` in memory at a time."""
    while True:
        where = selection.where(GENERATION)
        if behind is not None:
            where.beyond(">", behind)
        query = (
            f"SELECT {_COLUMNS[GENERATION]} FROM ai_events WHERE {where.text} "
            "ORDER BY timestamp, uuid, precedence DESC LIMIT 1 BY timestamp, uuid LIMIT {page:UInt32}"
        )
        found = rows(client, query, {**where.values, "page": page})
        for raw in found:
            yield _row(raw)
        if len(found) < page:
            return
        behind = PageEnd(found[-1]["timestamp"], found[-1]["uuid"])


def rows_by_id(client: Client, selection: RowSelection, ids: Sequence[str]) -> list[EventRow]:
    """Return the rows of `selection`, which names an event, that have one of these ids, in no order."""
    event = selection.event or GENERATION
    where = selection.where(event)
    where.add("uuid IN {ids:Array(String)}", ids=list(ids))
    table = "evaluation_results FINAL" if event == RESULT else "ai_events"
    query = f"SELECT {_COLUMNS[event]} FROM {table} WHERE {where.text} LIMIT 1 BY uuid"
    return [_row(raw) for raw in rows(client, query, where.values)]


def with_property(client: Client, team_id: int, uuids: Sequence[str], name: str, value: str) -> set[str]:
    """Return which of these generations have a property, with a value as text if it is not empty."""
    where = property_where(team_id, name, value)
    where.add("uuid IN {uuids:Array(String)}", uuids=list(uuids))
    query = f"SELECT DISTINCT uuid FROM ai_events WHERE {where.text}"
    return {row["uuid"] for row in rows(client, query, where.values)}


def _page(client: Client, selection: RowSelection, last: dict[str, Any] | None, page: int) -> list[dict[str, Any]]:
    sources: list[str] = []
    values: dict[str, Any] = {"page": page}
    for event in (GENERATION, RESULT):
        if selection.event not in (None, event):
            continue
        where = selection.where(event)
        if last is not None:
            where.beyond("<", PageEnd(last["timestamp"], last["uuid"]))
        sources.append(_query(event, where.text))
        values |= where.values
    if not sources:
        return []
    query = f"SELECT * FROM ({' UNION ALL '.join(sources)}) ORDER BY timestamp DESC, uuid DESC LIMIT {{page:UInt32}}"
    return rows(client, query, values)


def _query(event: str, condition: str) -> str:
    if event == RESULT:
        return (
            f"(SELECT {_COLUMNS[RESULT]} FROM evaluation_results FINAL WHERE {condition} "
            "ORDER BY timestamp DESC, uuid DESC LIMIT {page:UInt32})"
        )
    # Copies of an event have one sort key, so they lie side by side: the table can be read from its newest end,
    # where FINAL would read the whole range first.
    return (
        f"(SELECT {_COLUMNS[GENERATION]} FROM ai_events WHERE {condition} "
        "ORDER BY timestamp DESC, uuid DESC, precedence DESC LIMIT 1 BY timestamp, uuid LIMIT {page:UInt32})"
    )


def _row(raw: dict[str, Any]) -> EventRow:
    fields = {name: value for name, value in raw.items() if value != "" or name not in (*_PERSON, "person_mode")}
    for name in ("timestamp", "created_at"):
        fields[name] = time_text(raw[name])
    return EventRow(**fields)
