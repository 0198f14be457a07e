"""Bodies of `labels`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas.parts import RequestBody, ResponseBody
from storage.sql.labels import MAX_AT_ONCE, MAX_COMMENT_CHARS, LabelSource

Comment = Annotated[str, StringConstraints(max_length=MAX_COMMENT_CHARS)]
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class LabelGiven(RequestBody):
    """The verdict of a labeller on one item."""

    verdict: dict[str, Any] = Field()
    """`{applicable, result | score | categories}` by output type, or `{unsure: true}`."""
    comment: Comment = ""
    """The reason, for people."""
    seconds: Seconds | None = None
    """How long the labeller looked at the item."""
    client_id: ClientId | None = None
    """The client's own name of the label: sent again, it stores nothing new."""


class LabelCreate(LabelGiven):
    """A label of any generation."""

    evaluation: UUID = Field()
    """The evaluation whose question is answered."""
    target_event_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field()
    """The generation."""
    question: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """The question that is answered; it must be the evaluation's present one. Left out: that one."""
    adjudicates: bool = False
    """Whether the label decides an item on which labellers tie; takes the scope `evaluation:write`."""
    after_reveal: bool = False
    """Whether the labeller knew the judge's verdict. Such a label enters no estimate."""


class LabelsCreate(LabelCreate):
    """One label, or up to 1 000 in `labels`, which are stored together or not at all."""

    CHECKED: ClassVar[frozenset[str]] = frozenset()

    verdict: dict[str, Any] | None = None  # type: ignore[assignment]  # one of many has it in its own object
    """`{applicable, result | score | categories}` by output type, or `{unsure: true}`."""
    evaluation: UUID | None = None  # type: ignore[assignment]  # as above
    """The evaluation whose question is answered."""
    target_event_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None  # type: ignore[assignment]  # as above
    """The generation."""
    labels: Annotated[list[LabelCreate], Field(min_length=1, max_length=MAX_AT_ONCE)] | None = None
    """Many labels, in the place of the other fields."""


class Label(ResponseBody):
    """A label. It never changes: a correction is a new label, and a labeller's newest one of a target counts."""

    id: UUID
    evaluation: UUID
    question: int
    target_event_id: str
    verdict: dict[str, Any]
    comment: str
    labeller: str
    source: LabelSource
    seconds: float | None
    adjudicates: bool
    after_reveal: bool
    client_id: str | None
    created_at: datetime


class LabelsCreated(ResponseBody):
    """The labels of one request, in its order."""

    labels: list[Label]
