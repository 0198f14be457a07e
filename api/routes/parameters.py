"""Query and path parameters that many routes share."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Path, Query
from pydantic import WithJsonSchema

from api.errors import Invalid
from api.pagination import split_commas

OrderName = Literal["created_at", "-created_at", "updated_at", "-updated_at", "name", "-name"]
ORDER_NAMES: tuple[OrderName, ...] = ("created_at", "-created_at", "updated_at", "-updated_at", "name", "-name")

_MAX_IDS = 1000

# A client may repeat these parameters, separate the items by commas, or both; the document shows the items.
_IdItem = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
_OrderItem = Annotated[str, WithJsonSchema({"type": "string", "enum": list(ORDER_NAMES)})]

IdPath = Annotated[UUID, Path(alias="id", description="A UUID string identifying the object.")]
SearchParam = Annotated[str, Query(max_length=400, description="Search in name or description")]


def _read_ids(
    id__in: Annotated[
        list[_IdItem], Query(default_factory=list, description="Multiple values may be separated by commas.")
    ],
) -> tuple[str, ...] | None:
    items = split_commas(id__in)
    if len(items) > _MAX_IDS:
        raise Invalid(f"At most {_MAX_IDS} ids in one request.", attr="id__in")
    try:
        return tuple(str(UUID(item)) for item in items) or None
    except ValueError as error:
        raise Invalid("Each id must be a UUID.", attr="id__in") from error


def _read_order(
    order_by: Annotated[
        list[_OrderItem],
        Query(default_factory=list, description="Ordering. Multiple values may be separated by commas."),
    ],
) -> tuple[OrderName, ...]:
    found: list[OrderName] = []
    for item in split_commas(order_by):
        name = next((name for name in ORDER_NAMES if name == item), None)
        if name is None:
            raise Invalid(f"Order by one of {', '.join(ORDER_NAMES)}.", code="invalid_choice", attr="order_by")
        # A column that comes twice orders nothing the second time.
        if name.removeprefix("-") not in {earlier.removeprefix("-") for earlier in found}:
            found.append(name)
    return tuple(found) or ("-created_at",)


IdsParam = Annotated[tuple[str, ...] | None, Depends(_read_ids)]
"""Ids that a list is narrowed to; None if it is not."""

OrderParam = Annotated[tuple[OrderName, ...], Depends(_read_order)]
"""What a list is ordered by; newest first if nothing is said."""
