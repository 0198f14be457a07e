"""Bodies of `datasets` and `dataset_items`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas.parts import Instant, ObjectName, PatchBody, RequestBody, ResponseBody, User

_Reference = Annotated[str, StringConstraints(max_length=255)]
_OURS = frozenset({"id", "created_at", "updated_at", "created_by", "team"})


class DatasetPatch(PatchBody):
    """Fields of a dataset that a client may write."""

    READ_ONLY: ClassVar[frozenset[str]] = _OURS

    name: ObjectName = ""
    """Name of the dataset."""
    description: str | None = None
    """Description of the dataset, for people."""
    metadata: Any = None
    """Anything in JSON."""
    deleted: bool | None = None
    """Hides the dataset."""


class DatasetCreate(DatasetPatch):
    """A new dataset."""

    name: ObjectName = Field()
    """Name of the dataset."""


class Dataset(ResponseBody):
    """A dataset."""

    id: UUID
    name: str
    description: str | None
    metadata: Any
    created_at: datetime
    updated_at: datetime
    deleted: bool
    created_by: User | None
    team: int


class DatasetItemPatch(PatchBody):
    """Fields of a dataset item that a client may write."""

    READ_ONLY: ClassVar[frozenset[str]] = _OURS

    dataset: UUID | None = None
    """The dataset that it is in."""
    input: Any = None
    """Input of the generation."""
    output: Any = None
    """Output of the generation."""
    metadata: Any = None
    """Anything in JSON; `expected` in it is what an evaluation should find."""
    ref_trace_id: _Reference | None = None
    """Trace that it was taken from."""
    ref_timestamp: Instant | None = None
    """Time of the event that it was taken from."""
    ref_source_id: _Reference | None = None
    """Id of the event that it was taken from."""
    deleted: bool | None = None
    """Hides the item."""


class DatasetItemCreate(DatasetItemPatch):
    """A new dataset item."""

    dataset: UUID = Field()
    """The dataset that it is in."""


class DatasetItem(ResponseBody):
    """A dataset item."""

    id: UUID
    dataset: UUID
    input: Any
    output: Any
    metadata: Any
    ref_trace_id: str | None
    ref_timestamp: datetime | None
    ref_source_id: str | None
    deleted: bool
    created_at: datetime
    updated_at: datetime
    created_by: User | None
    team: int


def columns(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the store's columns for the fields that a client sent."""
    values = dict(given)
    if "dataset" in values:
        values["dataset"] = str(values["dataset"])
    if "deleted" in values:
        values["deleted"] = bool(values["deleted"])
    return values


def replacement(body: DatasetCreate | DatasetItemCreate) -> dict[str, Any]:
    """Return all fields that a PUT sets. A deleted object comes back only if the client says so."""
    fields = body.model_dump()
    if "deleted" not in body.model_fields_set:
        del fields["deleted"]
    return fields


class DatasetEvaluate(RequestBody):
    """An evaluation to run over a dataset."""

    evaluation_id: UUID
    """The evaluation."""
    version: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None
    """An older version of it; the present one if left out."""


class ItemVerdict(ResponseBody):
    """The outcome of one item. `agrees` is null where the item expects nothing or the run gave no verdict."""

    item: UUID
    expected: Any
    result: Any
    agrees: bool | None
    reasoning: str | None
    error: str | None


class DatasetAgreement(ResponseBody):
    """How an evaluation agrees with what the items expect.

    `compared` counts items with an expectation and a verdict: `agreement` is `agreed` among them, with its Wilson
    interval (95 %). If `complete` is false the dataset has more items than one request runs.
    """

    evaluation_id: UUID
    version: int
    complete: bool
    items: int
    compared: int
    agreed: int
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None
    results: list[ItemVerdict]
