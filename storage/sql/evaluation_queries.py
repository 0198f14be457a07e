"""Which evaluations a page of them shows, and in which order."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, Table, and_, false

from config.storable import is_storable
from storage.sql.search import holds_text

Order = Literal["created_at", "-created_at", "updated_at", "-updated_at", "name", "-name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationQuery:
    """Which evaluations a page shows. `search` looks into name and description, ignoring case."""

    enabled: bool | None = None
    ids: Collection[str] | None = None
    evaluation_type: str | None = None
    search: str = ""
    order_by: tuple[Order, ...] = ("-created_at",)
    limit: int = 100
    offset: int = 0


def canonical_id(identity: str) -> str | None:
    """Return a UUID in the form of stored ids, or None for a text that is not a UUID."""
    try:
        return str(uuid.UUID(identity))
    except ValueError:
        return None


def selected(table: Table, team_id: int, query: EvaluationQuery) -> ColumnElement[bool]:
    """Return the condition for the rows that `query` asks for, without deleted ones."""
    columns = table.c
    wanted: list[ColumnElement[bool]] = [columns.team_id == team_id, columns.deleted.is_(False)]
    if query.enabled is not None:
        wanted.append(columns.enabled.is_(query.enabled))
    if query.ids is not None:
        wanted.append(columns.id.in_([canonical_id(identity) for identity in query.ids]))
    if query.evaluation_type is not None:
        wanted.append(columns.evaluation_type == query.evaluation_type)
    if not is_storable(query.search):
        wanted.append(false())
    elif query.search:
        wanted.append(holds_text(query.search, columns.name, columns.description))
    return and_(*wanted)


def ordered(statement: Select[Any], table: Table, query: EvaluationQuery) -> Select[Any]:
    """Return `statement` with the order and the window of `query`."""
    columns = table.c
    for order in query.order_by:
        column = columns[order.removeprefix("-")]
        statement = statement.order_by(column.desc() if order.startswith("-") else column.asc())
    # The id puts equal rows in one order, so that no row is on two pages or on none.
    last_descends = query.order_by[-1].startswith("-") if query.order_by else False
    tie = columns.id.desc() if last_descends else columns.id.asc()
    return statement.order_by(tie).limit(query.limit).offset(query.offset)
