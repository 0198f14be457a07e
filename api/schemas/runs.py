"""Bodies of `evaluation_runs`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas.actions import ResultShown
from api.schemas.parts import Instant, RequestBody, ResponseBody, User

_EventId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class RunCreate(RequestBody):
    """A run to be made now."""

    evaluation_id: UUID
    """The evaluation; it need not be enabled, and its conditions are not asked."""
    target_event_id: _EventId
    """uuid of the event to judge."""
    timestamp: Instant
    """Time of the event; where it is looked for first."""
    event: Annotated[str, Field(min_length=1, max_length=200)] = "$ai_generation"
    """Name of the event."""
    distinct_id: Annotated[str | None, Field(max_length=400)] = None
    """Distinct id of the event, if it is to be checked."""


class RunEvaluation(ResponseBody):
    """The evaluation of a run."""

    id: UUID
    name: str


class RunStarted(ResponseBody):
    """A run that is on its way."""

    workflow_id: str
    status: Literal["started"]
    evaluation: RunEvaluation
    target_event_id: str


class RunShown(ResponseBody):
    """A run with its result. `started`: no result yet; it waits, is in progress, or became a dead letter."""

    workflow_id: str
    status: Literal["started", "completed", "skipped"]
    evaluation: RunEvaluation
    target_event_id: str
    requested_at: datetime
    requested_by: User | None
    result: ResultShown | None
