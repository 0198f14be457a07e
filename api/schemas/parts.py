"""Parts that many bodies share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.schemas.tolerance import known_fields
from storage.sql.api_keys import ApiKey

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Ends of the calendar that the stores and ClickHouse agree on, with room to look a while before and after."""


def in_calendar(value: datetime) -> datetime:
    """Return a time in UTC; one without a zone is in UTC.

    Raises:
        ValueError: it is not between `EARLIEST` and `LATEST`.
    """
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    # Compared before it is converted: at the ends of the calendar a conversion overflows.
    if not EARLIEST <= aware < LATEST:
        raise ValueError(f"The time must be from {EARLIEST.year} on and before {LATEST.year}.")
    return aware.astimezone(UTC)


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("The time has no zone; write 2026-01-31T12:00:00Z.")
    return in_calendar(value)


Instant = Annotated[datetime, AfterValidator(_aware)]
"""A time with its zone, which every store holds; it is in UTC."""


ObjectName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
"""The name of an object, without the spaces around it."""

VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""The number of a version of an evaluation or of a golden set."""

QueryText = Annotated[str | None, Field(max_length=400)]
"""A text that a list is narrowed to; None if it is not."""


class RequestBody(BaseModel):
    """A body that a client sends. Fields that are not known are ignored, or refused with `?strict=1` (`tolerance`).

    `READ_ONLY` names fields that only Gavel writes. They are ignored always, because a client that reads an object,
    changes a field and sends all of it back is right.
    """

    model_config = ConfigDict(use_attribute_docstrings=True, hide_input_in_errors=True)

    READ_ONLY: ClassVar[frozenset[str]] = frozenset()
    CHECKED: ClassVar[frozenset[str]] = frozenset()
    """Fields that `parts` looks at and takes out."""

    @model_validator(mode="before")
    @classmethod
    def _only_known(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return cls.parts(
            known_fields({k: v for k, v in value.items() if k not in cls.READ_ONLY}, (*cls.model_fields, *cls.CHECKED))
        )

    @classmethod
    def parts(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Return the known fields of a body with the known fields of their parts. Raises `Invalid`."""
        return value

    def given(self) -> dict[str, Any]:
        """Return the fields that the client sent."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def _no_defaults(schema: dict[str, Any]) -> None:
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class PatchBody(RequestBody):
    """A body whose fields, left out, change nothing. Its schema has no defaults: a generated client would send them."""

    model_config = ConfigDict(json_schema_extra=_no_defaults)


class ResponseBody(BaseModel):
    """A body that we send."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)


class User(ResponseBody):
    """Who made something: the owner of a personal API key, as far as the key can tell."""

    id: int
    uuid: UUID
    distinct_id: str | None
    first_name: str
    last_name: str
    email: str
    is_email_verified: bool | None
    hedgehog_config: dict[str, Any] | None
    role_at_organization: str | None

    @classmethod
    def of(cls, key: ApiKey) -> User:
        """Return the owner of `key`; the ids are stable."""
        first, _, last = key.label.partition(" ")
        identity = uuid5(NAMESPACE_URL, f"gavel://api-key/{key.id}")
        return cls(
            id=key.id,
            uuid=identity,
            distinct_id=str(identity),
            first_name=first,
            last_name=last,
            email=key.email,
            is_email_verified=None,
            hedgehog_config=None,
            role_at_organization=None,
        )
