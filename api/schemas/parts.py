"""Parts that many bodies share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from config.store.api_keys import ApiKey


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("The time has no zone; write 2026-01-31T12:00:00Z.")
    return value


Instant = Annotated[datetime, AfterValidator(_aware)]
"""A time with its zone."""


class RequestBody(BaseModel):
    """A body that a client sends. A field that is not known is refused; one that only we write is ignored.

    `READ_ONLY` names the latter: a client that reads an object, changes a field and sends all of it back is right.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    READ_ONLY: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_read_only(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and cls.READ_ONLY & value.keys():
            return {name: field for name, field in value.items() if name not in cls.READ_ONLY}
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
