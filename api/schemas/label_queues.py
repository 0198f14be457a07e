"""Bodies of `label_queues`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.actions import ResultShown
from api.schemas.labellers import Between
from api.schemas.labels import Label, LabelGiven
from api.schemas.parts import Instant, ObjectName, PatchBody, RequestBody, ResponseBody, User, VersionNumber
from storage.sql.label_queues import MAX_ITEMS, MAX_LABELLERS, Mode

FocusReason = Literal["hand_picked", "versions", "judges", "truncated", "low_confidence", "suspected_injection"]
_Size = Annotated[int, Field(ge=1, le=MAX_ITEMS)]
_OURS = frozenset(
    {"id", "created_at", "updated_at", "created_by", "team", "fingerprint", "question", "items", "strata"}
)


class LabelQueueCreate(RequestBody):
    """A queue of results to be labelled."""

    READ_ONLY: ClassVar[frozenset[str]] = _OURS

    evaluation: UUID = Field()
    """The evaluation whose results are labelled."""
    name: ObjectName | None = None
    """Name of the queue; made of its mode and window if left out."""
    mode: Mode = "random"
    """`random` and `stratified` samples enter estimates, the second one weighted. `focus` never does."""
    version: VersionNumber | None = None
    """The version whose results are labelled; the present one if left out."""
    window_start: Instant | None = None
    """Start of the window of results; included. Only a queue of picked results needs none."""
    window_end: Instant | None = None
    """End of the window; excluded. Now if left out."""
    size: _Size = 100
    """How many items, if the window has as many."""
    labellers_per_item: Annotated[int, Field(ge=1, le=MAX_LABELLERS)] = 1
    """How many people label each item."""
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the items that get two labellers, so that the agreement between people can be measured."""
    blind: bool = True
    """Whether the judge's verdict is hidden. Labels of other queues enter no estimate."""
    reveal: bool = False
    """Whether the judge's verdict is shown once a label is saved. Later corrections enter no estimate."""
    reason: FocusReason | None = None
    """The kind of results that a `focus` queue collects."""
    other_version: VersionNumber | None = None
    """The version that a `focus` queue of reason `versions` compares with."""
    results: Annotated[list[UUID], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    """Ids of the results of a `focus` queue of reason `hand_picked`."""


class LabelQueuePatch(PatchBody):
    """Fields of a queue that can change. Window, version and strata are fixed."""

    READ_ONLY: ClassVar[frozenset[str]] = _OURS

    name: ObjectName = ""
    """Name of the queue."""
    size: _Size = 1
    """A larger size appends the next results in the queue's order; a queue never shrinks."""
    deleted: bool = False
    """Hides the queue. Its labels stay."""


class StratumShown(ResponseBody):
    """A part of the window: how many results it has, and how many of them are in the queue."""

    name: str
    population: int
    items: int


class LabelQueue(ResponseBody):
    """A queue."""

    id: UUID
    evaluation: UUID
    name: str
    mode: Mode
    reason: str | None
    version: int
    fingerprint: str
    question: int
    window_start: datetime | None
    window_end: datetime | None
    size: int
    items: int
    strata: list[StratumShown]
    labellers_per_item: int
    overlap: float
    blind: bool
    reveal: bool
    created_at: datetime
    updated_at: datetime
    created_by: User | None


class ItemToLabel(ResponseBody):
    """One generation for a labeller. Nothing here tells the judge's verdict, unless the queue is not blind."""

    id: UUID
    queue: UUID
    expires_at: datetime
    """Until when the item is held for the labeller."""
    criteria: str
    output_type: str
    output_config: dict[str, Any]
    target_event_id: str
    archived: bool
    """Whether the generation is still in the archive. Without it there is nothing to read."""
    input: Any
    tools: Any
    output: Any
    remaining: int
    """Items of the queue that still want a label, this one included."""
    verdict: ResultShown | None
    """The judge's result, where the queue is not blind."""


class ItemLabel(LabelGiven):
    """The label of a leased item."""


class ItemLabelled(ResponseBody):
    """The stored label, and the judge's result where the queue reveals it."""

    label: Label
    revealed: ResultShown | None


class QueueProgress(ResponseBody):
    """How far a queue is, and how far its labellers agree."""

    items: int
    done: int
    """Items that have all the labels that they want."""
    leased: int
    skipped: int
    labels: int
    unsure: int
    unresolved: int
    """Items whose labels tie; they enter no estimate until somebody adjudicates."""
    seconds_per_label: float | None
    """Median time of a label."""
    overlapping: int
    """Items with at least two labels."""
    alpha: float | None
    """Krippendorff's alpha between the labellers; 1 is perfect, 0 is chance."""
    labellers: list[Between]
    warnings: list[Literal["criteria_unclear"]]
    """`criteria_unclear`: more than a fifth of the labelled items are unsure or tied."""
