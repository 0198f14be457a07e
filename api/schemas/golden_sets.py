"""Bodies of `golden_sets`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas.parts import ObjectName, PatchBody, RequestBody, ResponseBody, User
from storage.sql.golden_sets import MAX_ITEMS

_Ids = Annotated[list[UUID], Field(max_length=100)]
_Keys = Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=300)]], Field(max_length=MAX_ITEMS)]
_OURS = frozenset({"id", "created_at", "updated_at", "created_by", "team", "question", "versions"})


class GoldenSetPatch(PatchBody):
    """Fields of a golden set that can change. Frozen versions never do."""

    READ_ONLY: ClassVar[frozenset[str]] = _OURS

    name: ObjectName = ""
    """Name of the golden set."""
    description: Annotated[str, StringConstraints(max_length=10_000)] = ""
    """Description for people."""
    labels: bool = True
    """Whether generations with a consensus of labels are items."""
    queues: _Ids = Field(default_factory=list)
    """Only labels of the items of these queues; all labels if empty."""
    datasets: _Ids = Field(default_factory=list)
    """Datasets whose items with `metadata.expected` are items too."""
    exclude: _Keys = Field(default_factory=list)
    """Keys of items that are left out."""
    deleted: bool = False
    """Hides the golden set. Its versions stay."""


class GoldenSetCreate(GoldenSetPatch):
    """A new golden set."""

    evaluation: UUID = Field()
    """The evaluation whose question the items answer."""
    name: ObjectName = Field()
    """Name of the golden set."""


class GoldenVersion(ResponseBody):
    """A frozen version, without its items."""

    version: int
    sha256: str
    """SHA-256 over the canonical JSON of the items as they were frozen."""
    items: int
    size_bytes: int
    incomplete: bool
    """Whether items were erased since, so that the version can no longer be measured with."""
    created_at: datetime
    created_by: User | None


class GoldenSet(ResponseBody):
    """A golden set."""

    id: UUID
    evaluation: UUID
    question: int
    name: str
    description: str
    labels: bool
    queues: list[UUID]
    datasets: list[UUID]
    exclude: list[str]
    versions: list[GoldenVersion]
    created_at: datetime
    updated_at: datetime
    created_by: User | None


class GoldenItemShown(ResponseBody):
    """An item as a freeze would store it now, without its text."""

    key: str
    expected: dict[str, Any]
    labels: int
    origin: str
    inclusion_probability: float | None


class GoldenItemWhole(GoldenItemShown):
    """An item of a frozen version, with its generation."""

    event: dict[str, Any]


class Frozen(GoldenVersion):
    """A new version. `missing` counts generations that the archive does not have any more."""

    missing: int


class GoldenVersionItems(GoldenVersion):
    """A frozen version with a page of its items."""

    count: int
    next: str | None
    previous: str | None
    results: list[GoldenItemWhole]


class GoldenChange(ResponseBody):
    """An item that both versions have, with another expected verdict."""

    key: str
    before: dict[str, Any]
    after: dict[str, Any]


class GoldenDiff(ResponseBody):
    """The difference from the first version to the second."""

    added: list[str]
    removed: list[str]
    changed: list[GoldenChange]
    unchanged: int


class Erase(RequestBody):
    """The person whose items are erased."""

    distinct_id: Annotated[str, StringConstraints(min_length=1, max_length=400)] = Field()
    """The id of the person in events."""


class Erased(ResponseBody):
    """The versions that replace those that held items of the person."""

    replaced: list[UUID]
    """Golden sets that got a new version."""
