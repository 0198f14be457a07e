"""Bodies of `project_tokens`: the tokens with which applications send events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from api.schemas.parts import RequestBody, ResponseBody
from storage.sql.project_tokens import MAX_BYTES_PER_S, MAX_EVENTS_PER_S, MAX_ORIGINS, MAX_TOKEN_CHARS


class ProjectTokenCreate(RequestBody):
    """A token to be made."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    """Name of the application that uses it."""
    token: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_TOKEN_CHARS)] | None = None
    """An existing PostHog token (`phc_…`) to use instead of a new one, so that an application changes only its host."""
    events_per_s: Annotated[int, Field(ge=0, le=MAX_EVENTS_PER_S)] = 0
    """Most events a second that one process of the front door takes; 0 sets no limit."""
    bytes_per_s: Annotated[int, Field(ge=0, le=MAX_BYTES_PER_S)] = 0
    """Most bytes a second that one process of the front door takes; 0 sets no limit."""
    origins: list[Annotated[str, StringConstraints(max_length=300)]] = Field(
        default_factory=list, max_length=MAX_ORIGINS
    )
    """Browser origins that may send with it, such as `https://shop.example`; all if empty."""


class ProjectToken(ResponseBody):
    """A token without its text."""

    id: int
    name: str
    masked: str
    events_per_s: int
    bytes_per_s: int
    origins: list[str]
    created_at: datetime
    revoked_at: datetime | None


class ProjectTokenMade(ProjectToken):
    """A new token with its text, which is shown this one time."""

    token: str
