"""`events`: the archive of generations, and results as the events that they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query, Response

from api.http.auth import Scoped
from api.http.csv_text import csv_line
from api.http.errors import Invalid, NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Window, WindowParam
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import AfterParam, BeforeParam
from api.schemas.events import Event, EventPage, EventQuery
from api.schemas.tolerance import filters as known_filters
from conditions import ConditionError, EventRow, Matcher, RowError, Target, compile_matcher, parse_conditions
from config.definition_errors import DefinitionError
from config.definition_limits import check_conditions
from config.definitions import check_condition
from config.settings.sections import Definitions
from evaluators.hog import compile_expression
from storage.clickhouse.rows import RowSelection, find_row, newest_rows
from storage.sql.api_keys import ApiKey

router = APIRouter(route_class=OneHopRoute, tags=["events"])

Reader = Annotated[ApiKey, Scoped("query:read")]

MAX_SCANNED = 20_000
"""Events read for one page; a page that filters leave emptier has a `next` that goes on behind them."""
MAX_PAGE_BYTES = 16_777_216
"""Size at which a page ends early, whatever its limit: an event may have 8 MiB."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A page: its rows, whether there may be more, and where to go on if the scan ended before the page was full."""

    rows: list[EventRow]
    more: bool
    before: str | None = None


@router.get(
    "/events/", response_model=EventPage, responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
)
@slow
def list_events(
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    query: Annotated[EventQuery, Query()],
    after: AfterParam = None,
    before: BeforeParam = None,
) -> EventPage | Response:
    """List and filter events, newest first."""
    for name, given in (("select", query.select), ("where", query.where)):
        if given:
            raise Invalid("HogQL expressions are not supported here; filter by `properties`.", attr=name)
    matcher = _read_filters(query.properties or (), services.database.limits)
    selection = RowSelection(
        caller.team_id, event=query.event, distinct_id=query.distinct_id, person_id=query.person_id, before=before,
        # "After" excludes the moment itself; the table counts in microseconds.
        after=after + timedelta(microseconds=1) if after is not None else None,
    )  # fmt: skip
    with services.archive.client() as client:
        found = _collect(newest_rows(client, selection), matcher, window)
    events = [_event(row) for row in found.rows]
    if query.format == "csv":
        return Response(_as_csv(events), media_type="text/csv; charset=utf-8")
    return EventPage(next=_next(found, window), results=events)


@router.get("/events/{uuid}/")
def retrieve_event(uuid: Annotated[str, Path(max_length=200)], caller: Reader, services: ServicesParam) -> Event:
    """Return one event."""
    with services.archive.client() as client:
        row = find_row(client, caller.team_id, uuid)
    if row is None:
        raise NotFound
    return _event(row)


def _read_filters(texts: Sequence[str], limits: Definitions) -> Matcher | None:
    filters: list[object] = []
    for text in texts:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Invalid("properties is a JSON list of filters.", attr="properties") from error
        filters.extend(value if isinstance(value, list) else [value])
    if not filters:
        return None
    try:
        sets = parse_conditions(
            [{"id": "filters", "properties": known_filters(filters, "properties")}], compile_expression=check_condition
        )
        check_conditions(sets, limits)
    except (ConditionError, DefinitionError) as error:
        raise Invalid(str(error), attr="properties") from error
    return compile_matcher([Target(id="filters", conditions=sets)], compile_expression=compile_expression)


def _collect(rows: Iterator[EventRow], matcher: Matcher | None, window: Window) -> _Found:
    found: list[EventRow] = []
    skipped = size = 0
    last = ""
    for scanned, row in enumerate(rows):
        moment = row.timestamp or ""
        # Events of one moment stay together, so that going on before it neither repeats nor leaves out one.
        if scanned >= MAX_SCANNED and moment != last:
            return _Found(found, more=True, before=last)
        last = moment
        if matcher is not None and not _matches(matcher, row):
            continue
        if skipped < window.offset:
            skipped += 1
            continue
        if len(found) == window.limit or size > MAX_PAGE_BYTES:
            return _Found(found, more=True)
        found.append(row)
        size += len(row.properties or "")
    return _Found(found, more=False)


def _matches(matcher: Matcher, row: EventRow) -> bool:
    try:
        return bool(matcher.match(row).matched)
    except RowError:
        return False


def _next(found: _Found, window: Window) -> str | None:
    if not found.more:
        return None
    if found.before is not None:
        return window.link_with(before=_instant(found.before))
    return window.link_with(offset=str(window.offset + len(found.rows)))


def _instant(text: str | None) -> str:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).isoformat() if text else ""


def _event(row: EventRow) -> Event:
    person = {"distinct_ids": [row.distinct_id], "id": row.person_id, "properties": _object(row.person_properties)}
    return Event(
        id=row.uuid,
        distinct_id=row.distinct_id,
        properties=row.properties if isinstance(row.properties, str) else "{}",
        event=row.event,
        timestamp=_instant(row.timestamp),
        person=orjson.dumps(person).decode() if row.person_id or row.person_properties else "",
        elements="[]",
        elements_chain=row.elements_chain or "",
    )


def _object(text: object) -> object:
    try:
        return orjson.loads(text) if isinstance(text, str) and text else {}
    except orjson.JSONDecodeError:
        return {}


def _as_csv(events: Sequence[Event]) -> str:
    names = tuple(Event.model_fields)
    return "".join([csv_line(names), *(csv_line(getattr(event, name) for name in names) for event in events)])
