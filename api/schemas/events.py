"""The query and the bodies of `events`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.schemas.parts import QueryText, ResponseBody

_NotSupported = Annotated[list[str] | None, Field(description="Not supported.")]


class EventQuery(BaseModel):
    """The events that a list shows, and its format; the period and the page are parameters that other lists share."""

    event: QueryText = None
    distinct_id: QueryText = None
    person_id: QueryText = None
    properties: Annotated[
        list[str] | None, Field(description="JSON list of filters, with the operators of conditions.")
    ] = None
    select: _NotSupported = None
    where: _NotSupported = None
    format: Annotated[Literal["json", "csv"], Field(description="Format of the response.")] = "json"


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
