"""Datasets and their items: generations, each with the expected verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from storage.sql.audit import difference, record
from storage.sql.engine import Database
from storage.sql.search import holds_text
from storage.sql.tables import UtcDateTime, metadata

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.String(400), nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("metadata", sa.JSON(none_as_null=True)),
    sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(200)),
    sa.Index("ix_datasets_created", "team_id", "deleted", "created_at", "id"),
    sa.Index("ix_datasets_updated", "team_id", "deleted", "updated_at", "id"),
    sa.Index("ix_datasets_name", "team_id", "deleted", "name", "id"),
)

dataset_items = sa.Table(
    "dataset_items",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("dataset", sa.ForeignKey(datasets.c.id), nullable=False),
    sa.Column("input", sa.JSON(none_as_null=True)),
    sa.Column("output", sa.JSON(none_as_null=True)),
    sa.Column("metadata", sa.JSON(none_as_null=True)),
    sa.Column("ref_trace_id", sa.String(255)),
    sa.Column("ref_timestamp", UtcDateTime),
    sa.Column("ref_source_id", sa.String(255)),
    sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(200)),
    sa.Index("ix_dataset_items_team", "team_id", "deleted", "created_at", "id"),
    sa.Index("ix_dataset_items_dataset", "team_id", "dataset", "deleted", "created_at", "id"),
)

HIDDEN = "(hidden)"
"""The audit trail shows this in the place of a payload that changed."""

_ITEMS_AT_ONCE = 200
_PAYLOADS = frozenset({"input", "output"})


@dataclass(frozen=True, slots=True)
class DatasetQuery:
    """The filters and the order of a list of datasets. `search` looks in name and description and ignores case."""

    ids: tuple[str, ...] | None = None
    search: str | None = None
    order_by: tuple[str, ...] = ("-created_at",)


class UnknownDataset(LookupError):
    """The team has no such dataset, or it is deleted."""


class Datasets:
    """Datasets and items of all teams; each method names the team and sees no other. Each is one transaction.

    Rows are returned as mappings of their columns.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self, team_id: int, query: DatasetQuery, *, limit: int, offset: int
    ) -> tuple[Sequence[sa.RowMapping], int]:
        """Return a page of datasets that are not deleted, and how many there are."""
        where = [datasets.c.team_id == team_id, datasets.c.deleted.is_(False)]
        if query.ids is not None:
            where.append(datasets.c.id.in_(query.ids))
        if query.search:
            where.append(holds_text(query.search, datasets.c.name, datasets.c.description))
        return self._page(datasets, where, _ordering(query.order_by), limit, offset)

    def get(self, team_id: int, dataset_id: str) -> sa.RowMapping | None:
        """Return one dataset that is not deleted, or None."""
        return self._get(datasets, team_id, dataset_id)

    def create(self, team_id: int, values: Mapping[str, Any], *, actor: str, now: datetime) -> sa.RowMapping:
        """Make a dataset of `values` (columns by name) and return it."""
        return self._create(datasets, "dataset", team_id, values, actor, now)

    def update(
        self, team_id: int, dataset_id: str, values: Mapping[str, Any], *, actor: str, now: datetime
    ) -> sa.RowMapping | None:
        """Change the given columns of a dataset; return it, or None if there is none.

        A deleted one is there only for a change that brings it back (`deleted` false), with its items.
        """
        return self._update(datasets, "dataset", team_id, dataset_id, values, actor, now)

    def items_page(
        self, team_id: int, *, dataset_id: str | None, limit: int, offset: int
    ) -> tuple[Sequence[sa.RowMapping], int]:
        """Return a page of items that are not deleted, nor their dataset, newest first, and how many there are."""
        where = [dataset_items.c.team_id == team_id, dataset_items.c.deleted.is_(False), _dataset_is_there(team_id)]
        if dataset_id is not None:
            where.append(dataset_items.c.dataset == dataset_id)
        order = [dataset_items.c.created_at.desc(), dataset_items.c.id.desc()]
        return self._page(dataset_items, where, order, limit, offset)

    def newest(
        self, team_id: int, *, limit: int, behind: tuple[datetime, str] | None = None
    ) -> Sequence[sa.RowMapping]:
        """Return datasets that are not deleted, newest first, from behind a time of creation and an id on."""
        return self._newest(datasets, [datasets.c.team_id == team_id], limit, behind)

    def newest_items(
        self, team_id: int, dataset_id: str, *, limit: int, behind: tuple[datetime, str] | None = None
    ) -> Sequence[sa.RowMapping]:
        """Return items of a dataset as `newest` does. The caller knows that the dataset is there."""
        item = dataset_items.c
        return self._newest(dataset_items, [item.team_id == team_id, item.dataset == dataset_id], limit, behind)

    def get_item(self, team_id: int, item_id: str) -> sa.RowMapping | None:
        """Return one item that is not deleted, nor its dataset, or None."""
        return self._get(dataset_items, team_id, item_id)

    def create_item(self, team_id: int, values: Mapping[str, Any], *, actor: str, now: datetime) -> sa.RowMapping:
        """Make an item of `values` (columns by name, `dataset` among them) and return it.

        Raises:
            UnknownDataset: `dataset` is none of this team's.
        """
        return self._create(dataset_items, "dataset_item", team_id, values, actor, now)

    def update_item(
        self, team_id: int, item_id: str, values: Mapping[str, Any], *, actor: str, now: datetime
    ) -> sa.RowMapping | None:
        """Change the given columns of an item; return it, or None if there is none.

        A deleted one is there only for a change that brings it back. Items of a deleted dataset are not there.

        Raises:
            UnknownDataset: the new `dataset` is none of this team's.
        """
        return self._update(dataset_items, "dataset_item", team_id, item_id, values, actor, now)

    def items(self, team_id: int, dataset_id: str) -> Iterator[sa.RowMapping]:
        """Yield all items of a dataset, oldest first, without holding them all in memory."""
        after: tuple[datetime, str] | None = None
        item = dataset_items.c
        while True:
            query = (
                sa.select(dataset_items)
                .where(item.team_id == team_id, item.dataset == dataset_id, item.deleted.is_(False))
                .order_by(item.created_at, item.id)
                .limit(_ITEMS_AT_ONCE)
            )
            if after is not None:
                query = query.where(
                    sa.or_(item.created_at > after[0], sa.and_(item.created_at == after[0], item.id > after[1]))
                )
            with self._database.read() as connection:
                rows = connection.execute(query).mappings().all()
            yield from rows
            if len(rows) < _ITEMS_AT_ONCE:
                return
            after = (rows[-1]["created_at"], rows[-1]["id"])

    def _page(
        self, table: sa.Table, where: list[ColumnElement[bool]], order: list[Any], limit: int, offset: int
    ) -> tuple[Sequence[sa.RowMapping], int]:
        query = sa.select(table).where(*where).order_by(*order).limit(limit).offset(offset)
        with self._database.read() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()
            return connection.execute(query).mappings().all(), count

    def _newest(
        self, table: sa.Table, where: list[ColumnElement[bool]], limit: int, behind: tuple[datetime, str] | None
    ) -> Sequence[sa.RowMapping]:
        column = table.c
        if behind is not None:
            moment, row_id = behind
            where.append(sa.or_(column.created_at < moment, sa.and_(column.created_at == moment, column.id < row_id)))
        query = sa.select(table).where(*where, column.deleted.is_(False))
        with self._database.read() as connection:
            newest_first = query.order_by(column.created_at.desc(), column.id.desc()).limit(limit)
            return connection.execute(newest_first).mappings().all()

    def _get(self, table: sa.Table, team_id: int, object_id: str) -> sa.RowMapping | None:
        with self._database.read() as connection:
            return _one(connection, table, team_id, object_id)

    def _create(
        self, table: sa.Table, kind: str, team_id: int, values: Mapping[str, Any], actor: str, now: datetime
    ) -> sa.RowMapping:
        object_id = str(uuid4())
        stored = {
            **values, "id": object_id, "team_id": team_id, "created_at": now, "updated_at": now,
            "created_by": actor,
        }  # fmt: skip
        with self._database.write() as connection:
            _check_dataset(connection, table, team_id, values)
            connection.execute(sa.insert(table).values(stored))
            _audit(connection, kind, "created", team_id, object_id, ({}, values), actor, now)
            row = _one(connection, table, team_id, object_id, deleted=bool(values.get("deleted")))
        if row is None:
            raise RuntimeError(f"the new {kind} {object_id} is not there")
        return row

    def _update(
        self, table: sa.Table, kind: str, team_id: int, object_id: str, values: Mapping[str, Any],
        actor: str, now: datetime,
    ) -> sa.RowMapping | None:  # fmt: skip
        with self._database.write() as connection:
            before = _one(connection, table, team_id, object_id)
            if before is None and values.get("deleted") is False:
                before = _one(connection, table, team_id, object_id, deleted=True)
            if before is None:
                return None
            _check_dataset(connection, table, team_id, values)
            changed = sa.update(table).where(table.c.id == object_id, table.c.team_id == team_id)
            connection.execute(changed.values({**values, "updated_at": now}))
            old = {name: before[name] for name in values}
            _audit(connection, kind, "updated", team_id, object_id, (old, values), actor, now)
            return _one(connection, table, team_id, object_id, deleted=bool(values.get("deleted")))


def _one(
    connection: Connection, table: sa.Table, team_id: int, object_id: str, *, deleted: bool = False
) -> sa.RowMapping | None:
    query = sa.select(table).where(table.c.id == object_id, table.c.team_id == team_id, table.c.deleted.is_(deleted))
    if table is dataset_items:
        query = query.where(_dataset_is_there(team_id))
    return connection.execute(query).mappings().one_or_none()


def _dataset_is_there(team_id: int) -> ColumnElement[bool]:
    there = sa.select(datasets.c.id).where(datasets.c.team_id == team_id, datasets.c.deleted.is_(False))
    return dataset_items.c.dataset.in_(there)


def _check_dataset(connection: Connection, table: sa.Table, team_id: int, values: Mapping[str, Any]) -> None:
    if (
        table is dataset_items
        and "dataset" in values
        and _one(connection, datasets, team_id, values["dataset"]) is None
    ):
        raise UnknownDataset(values["dataset"])


def _audit(
    connection: Connection, kind: str, action: str, team_id: int, object_id: str,
    change: tuple[Mapping[str, Any], Mapping[str, Any]], actor: str, now: datetime,
) -> None:  # fmt: skip
    before, after = change
    changes = difference(_plain(before), _plain(after))
    for name in _PAYLOADS & changes.keys():
        changes[name] = [HIDDEN, HIDDEN]
    record(
        connection, team_id=team_id, actor=actor, action=action, object_type=kind, object_id=object_id,
        changes=changes, at=now,
    )  # fmt: skip


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _ordering(order_by: Sequence[str]) -> list[Any]:
    order: list[Any] = []
    for name in order_by:
        column = datasets.c[name.removeprefix("-")]
        order.append(column.desc() if name.startswith("-") else column)
    # Ties have an order too, or a page could repeat an item of the one before.
    descending = bool(order_by) and order_by[-1].startswith("-")
    return [*order, datasets.c.id.desc() if descending else datasets.c.id]


def event_of(item: sa.RowMapping) -> dict[str, Any]:
    """Return the generation that an item stands for, in the form of `GoldenItem.event`."""
    metadata = item["metadata"] if isinstance(item["metadata"], dict) else {}
    moment = item["ref_timestamp"] or item["created_at"]
    properties = {
        "$ai_input": item["input"], "$ai_output_choices": item["output"], "$ai_trace_id": item["ref_trace_id"],
        "$ai_tools": metadata.get("tools"),
    }  # fmt: skip
    return {
        "uuid": item["ref_source_id"] or item["id"], "distinct_id": "", "timestamp": moment.isoformat(),
        "properties": {name: value for name, value in properties.items() if value is not None},
    }  # fmt: skip
