"""`events`: the archive of generations, and results as the events that they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Path, Query, Response

from api.auth import Scoped
from api.errors import Invalid, NotFound
from api.pagination import Window, WindowParam
from api.schemas.events import Event, EventPage
from api.schemas.parts import Instant
from api.services import ServicesParam
from conditions import ConditionError, EventRow, Matcher, RowError, Target, compile_matcher, parse_conditions
from config.clickhouse.rows import RowSelection, find_row, newest_rows
from config.store.api_keys import ApiKey
from evaluators.hog import compile_expression

router = APIRouter(tags=["events"])

Reader = Annotated[ApiKey, Scoped("query:read")]

MAX_SCANNED = 20_000
"""Events read for one page; a page that filters leave emptier has a `next` that goes on behind them."""
MAX_PAGE_BYTES = 16_777_216
"""Size at which a page ends early, whatever its limit: an event may have 8 MiB."""

_Text = Query(max_length=400)


@dataclass(frozen=True, slots=True)
class _Found:
    """A page: its rows, whether there may be more, and where to go on if the scan ended before the page was full."""

    rows: list[EventRow]
    more: bool
    before: str | None = None


@router.get(
    "/events/", response_model=EventPage, responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
)
def list_events(
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    event: Annotated[str | None, _Text] = None,
    distinct_id: Annotated[str | None, _Text] = None,
    person_id: Annotated[str | None, _Text] = None,
    after: Annotated[Instant | None, Query(description="Only events after this time.")] = None,
    before: Annotated[Instant | None, Query(description="Only events before this time.")] = None,
    properties: Annotated[
        list[str] | None, Query(description="JSON list of filters, with the operators of conditions.")
    ] = None,
    select: Annotated[list[str] | None, Query(description="Not supported.")] = None,
    where: Annotated[list[str] | None, Query(description="Not supported.")] = None,
    format: Annotated[Literal["json", "csv"], Query(description="Of the response.")] = "json",  # noqa: A002  # the pages call it so
) -> EventPage | Response:
    """List and filter events, newest first."""
    for name, given in (("select", select), ("where", where)):
        if given:
            raise Invalid("HogQL expressions are not supported here; filter by `properties`.", attr=name)
    matcher = _read_filters(properties or ())
    selection = RowSelection(
        caller.team_id, event=event, distinct_id=distinct_id, person_id=person_id, before=before,
        # "After" excludes the moment itself; the table counts in microseconds.
        after=after + timedelta(microseconds=1) if after is not None else None,
    )  # fmt: skip
    with services.archive.client() as client:
        found = _collect(newest_rows(client, selection), matcher, window)
    events = [_event(row) for row in found.rows]
    if format == "csv":
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


def _read_filters(texts: Sequence[str]) -> Matcher | None:
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
        sets = parse_conditions([{"id": "filters", "properties": filters}], compile_expression=compile_expression)
    except ConditionError as error:
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
    out = io.StringIO()
    writer = csv.writer(out)
    names = tuple(Event.model_fields)
    writer.writerow(names)
    for event in events:
        writer.writerow([_inert(getattr(event, name)) for name in names])
    return out.getvalue()


def _inert(text: str) -> str:
    """Return `text` so that a spreadsheet shows it and does not calculate it."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
