"""Bodies of `events`."""

from __future__ import annotations

from api.schemas.parts import ResponseBody


class Event(ResponseBody):
    """One event. As on the API reference pages every field is text; `properties` and `person` hold JSON."""

    id: str
    distinct_id: str
    properties: str
    event: str
    timestamp: str
    person: str
    elements: str
    elements_chain: str


class EventPage(ResponseBody):
    """Events, newest first; `next` is an address or null. Events are not counted."""

    next: str | None
    results: list[Event]
