"""Query and path parameters that many routes share."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime, timedelta
from typing import Annotated, get_args
from uuid import UUID

from fastapi import Depends, Path, Query
from pydantic import WithJsonSchema

from api.http.errors import Invalid
from api.http.pagination import split_commas
from api.http.services import ServicesParam
from api.schemas.parts import in_calendar
from api.services.results import confidence_between
from storage.clickhouse.query import ConfidenceRange
from storage.sql.evaluation_queries import Order

ORDER_NAMES: tuple[Order, ...] = get_args(Order)

_MAX_IDS = 1000


def _no_items() -> list[str]:
    """Return an empty list. `list` itself would be inspected anew for each request, by reading its signature's text."""
    return []


# A client may repeat these parameters, separate the items by commas, or both; the document shows the items.
_IdItem = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
_OrderItem = Annotated[str, WithJsonSchema({"type": "string", "enum": list(ORDER_NAMES)})]

IdPath = Annotated[UUID, Path(alias="id", description="A UUID string identifying the object.")]
SearchParam = Annotated[str, Query(max_length=400, description="Search in name or description")]


async def _read_ids(
    id__in: Annotated[
        list[_IdItem], Query(default_factory=_no_items, description="Multiple values may be separated by commas.")
    ],
) -> tuple[str, ...] | None:
    items = split_commas(id__in)
    if len(items) > _MAX_IDS:
        raise Invalid(f"At most {_MAX_IDS} ids in one request.", attr="id__in")
    try:
        return tuple(str(UUID(item)) for item in items) or None
    except ValueError as error:
        raise Invalid("Each id must be a UUID.", attr="id__in") from error


async def _read_order(
    order_by: Annotated[
        list[_OrderItem],
        Query(default_factory=_no_items, description="Ordering. Multiple values may be separated by commas."),
    ],
) -> tuple[Order, ...]:
    found: list[Order] = []
    for item in split_commas(order_by):
        name = next((name for name in ORDER_NAMES if name == item), None)
        if name is None:
            raise Invalid(f"Order by one of {', '.join(ORDER_NAMES)}.", code="invalid_choice", attr="order_by")
        # A column that comes twice orders nothing the second time.
        if name.removeprefix("-") not in {earlier.removeprefix("-") for earlier in found}:
            found.append(name)
    return tuple(found) or ("-created_at",)


_RELATIVE = re.compile(r"-([0-9]{1,6})([hdwmy])")
_MONTHS = {"m": 1, "y": 12}
_EXAMPLES = {"examples": ["2026-01-31T12:00:00Z", "2026-01-31", "-24h"]}
_After = Annotated[str | None, Query(max_length=64, description="Only after this time.", json_schema_extra=_EXAMPLES)]
_Before = Annotated[str | None, Query(max_length=64, description="Only before this time.", json_schema_extra=_EXAMPLES)]
_FORMS = "a time such as 2026-01-31T12:00:00Z (UTC if it names no zone), a date, or an age such as -24h, -7d, -2w, -1m"


def read_moment(text: str, name: str, *, now: datetime) -> datetime:
    """Return the time that a query parameter means, in UTC. Raises `Invalid` on `name`."""
    relative = _RELATIVE.fullmatch(text)
    try:
        if relative is None:
            return in_calendar(datetime.fromisoformat(text))
        return in_calendar(_before(now, int(relative[1]), relative[2]))
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{name} takes {_FORMS}; years from 1970 to 2199.", attr=name) from error


def _before(now: datetime, number: int, unit: str) -> datetime:
    if unit not in _MONTHS:
        return now - number * {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}[unit]
    year, month = divmod(now.year * 12 + now.month - 1 - number * _MONTHS[unit], 12)
    if year < 1:
        raise ValueError("before the first year")
    return now.replace(year=year, month=month + 1, day=min(now.day, monthrange(year, month + 1)[1]))


async def _read_after(services: ServicesParam, after: _After = None) -> datetime | None:
    return None if after is None else read_moment(after, "after", now=services.now())


async def _read_before(services: ServicesParam, before: _Before = None) -> datetime | None:
    return None if before is None else read_moment(before, "before", now=services.now())


AfterParam = Annotated[datetime | None, Depends(_read_after)]
"""The time after which a list begins; None if it is not narrowed."""

BeforeParam = Annotated[datetime | None, Depends(_read_before)]
"""The time before which a list ends; None if it is not narrowed."""

_Least = Annotated[float | None, Query(ge=0, le=1, description="Only where the judge is at least so sure, 0 to 1.")]
_Most = Annotated[float | None, Query(ge=0, le=1, description="Only where the judge is at most so sure.")]


async def _read_confidence(min_confidence: _Least = None, max_confidence: _Most = None) -> ConfidenceRange:
    return confidence_between(min_confidence, max_confidence)


ConfidenceParam = Annotated[ConfidenceRange, Depends(_read_confidence)]
"""The range of confidence that a list is narrowed to. A result without a confidence is in no range."""

IdsParam = Annotated[tuple[str, ...] | None, Depends(_read_ids)]
"""Ids that a list is narrowed to; None if it is not."""

OrderParam = Annotated[tuple[Order, ...], Depends(_read_order)]
"""The order of a list; newest first without one."""
