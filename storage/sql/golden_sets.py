"""Golden sets: generations with the verdicts that people expect, frozen in versions that never change.

TooLarge        a version would have too many items or bytes

A frozen version holds each item completely, so it outlives the archive. Erasing the data of a person takes the person's
items out and marks each version that held any as `incomplete`. The rest of the newest version becomes a new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection

from storage.sql.audit import difference, record
from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, json_column, metadata

MAX_ITEMS = 5_000
MAX_BYTES = 50 * 1024 * 1024
_ITEMS_AT_ONCE = 200

golden_sets = sa.Table(
    "golden_sets",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("question", sa.Integer, nullable=False),
    sa.Column("name", sa.String(400), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    json_column("sources"),
    sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(200)),
    sa.Index("ix_golden_sets_team", "team_id", "deleted", "created_at", "id"),
)

golden_versions = sa.Table(
    "golden_versions",
    metadata,
    sa.Column("golden_set_id", sa.ForeignKey(golden_sets.c.id), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("items", sa.Integer, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("incomplete", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(200)),
)

golden_items = sa.Table(
    "golden_items",
    metadata,
    sa.Column("golden_set_id", sa.ForeignKey(golden_sets.c.id), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("distinct_id", sa.String(400), nullable=False),
    json_column("item"),
    sa.Index("ix_golden_items_person", "team_id", "distinct_id"),
)


class GoldenSetTooLarge(ValueError):
    """A version would be over `limit` in `unit` (`items` or `bytes`); it has `size`."""

    def __init__(self, size: int, limit: int, unit: Literal["items", "bytes"]) -> None:
        self.size, self.limit, self.unit = size, limit, unit
        super().__init__(f"the version would have {size} {unit}; at most {limit} are frozen")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenItem:
    """One item, whole.

    Attributes:
        key: `event:<id>` of a labelled generation or `dataset_item:<id>`; it is the same in every version.
        expected: the verdict, in the form of `config.label_verdicts`.
        labels: how many labels the consensus has; 0 for a dataset item.
        inclusion_probability: with which the item was drawn and labelled; None if it is not of a random sample.
        event: the generation: `uuid`, `distinct_id`, `timestamp` (ISO-8601) and `properties`.
    """

    key: str
    expected: Mapping[str, Any]
    labels: int
    origin: str
    inclusion_probability: float | None
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenSet:
    """A golden set.

    Attributes:
        sources: what a version is made of: `{labels: bool, queues: [id], datasets: [id], exclude: [key]}`.
    """

    id: str
    team_id: int
    evaluation_id: str
    question: int
    name: str
    description: str
    sources: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    created_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenVersion:
    """A frozen version. `sha256` is over the canonical JSON of all its items, as they were frozen."""

    golden_set_id: str
    version: int
    team_id: int
    sha256: str
    items: int
    size_bytes: int
    incomplete: bool
    created_at: datetime
    created_by: str | None


def canonical(items: Sequence[GoldenItem]) -> bytes:
    """Return the canonical JSON of items: keys sorted, no spaces, UTF-8."""
    return _canonical([asdict(item) for item in items])


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class GoldenSets:
    """The golden sets of all teams; each method names the team. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, team_id: int, values: Mapping[str, Any], *, actor: str, now: datetime) -> GoldenSet:
        """Make a golden set of `values` (columns by name) and return it."""
        stored = {
            **values, "id": str(uuid4()), "team_id": team_id, "created_at": now, "updated_at": now,
            "created_by": actor,
        }  # fmt: skip
        with self._database.write() as connection:
            insert = sa.insert(golden_sets).values(stored).returning(golden_sets)
            golden = _read(connection.execute(insert).mappings().one())
            _audit(connection, golden, "created", difference({}, dict(values)), actor, now)
        return golden

    def get(self, team_id: int, golden_id: str) -> GoldenSet | None:
        """Return one golden set that is not deleted, or None."""
        with self._database.read() as connection:
            return _find(connection, team_id, golden_id)

    def page(self, team_id: int, *, limit: int, offset: int) -> tuple[list[GoldenSet], int]:
        """Return a page of golden sets that are not deleted, newest first, and how many there are."""
        column = golden_sets.c
        where = (column.team_id == team_id, column.deleted.is_(False))
        order = (column.created_at.desc(), column.id)
        statement = sa.select(golden_sets).where(*where).order_by(*order).limit(limit).offset(offset)
        with self._database.read() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(golden_sets).where(*where)).scalar_one()
            return [_read(row) for row in connection.execute(statement).mappings()], count

    def update(
        self, team_id: int, golden_id: str, values: Mapping[str, Any], *, actor: str, now: datetime
    ) -> GoldenSet | None:
        """Change columns of a golden set and return it, or None if there is none. Its versions stay as they are."""
        with self._database.write() as connection:
            before = _find(connection, team_id, golden_id)
            if before is None:
                return None
            change = sa.update(golden_sets).where(golden_sets.c.id == golden_id)
            row = (
                connection.execute(change.values({**values, "updated_at": now}).returning(golden_sets)).mappings().one()
            )
            golden = _read(row)
            old = {name: getattr(before, name, False) for name in values}
            action = "deleted" if values.get("deleted") else "updated"
            _audit(connection, golden, action, difference(old, dict(values)), actor, now)
        return golden

    def freeze(self, golden: GoldenSet, items: Sequence[GoldenItem], *, actor: str, now: datetime) -> GoldenVersion:
        """Store the next version.

        Raises:
            GoldenSetTooLarge: nothing was stored.
        """
        if len(items) > MAX_ITEMS:
            raise GoldenSetTooLarge(len(items), MAX_ITEMS, "items")
        content = canonical(items)
        if len(content) > MAX_BYTES:
            raise GoldenSetTooLarge(len(content), MAX_BYTES, "bytes")
        with self._database.write() as connection:
            # The lock gives two freezes at the same moment two numbers.
            connection.execute(sa.select(golden_sets.c.id).where(golden_sets.c.id == golden.id).with_for_update())
            version = _store_version(
                connection, golden.team_id, golden.id, [asdict(each) for each in items], actor, now
            )
            _audit(connection, golden, "frozen", {"version": [None, version.version]}, actor, now)
        return version

    def versions(self, team_id: int, golden_id: str) -> list[GoldenVersion]:
        """Return the frozen versions, newest first; also of a deleted golden set."""
        column = golden_versions.c
        statement = sa.select(golden_versions).where(column.team_id == team_id, column.golden_set_id == golden_id)
        with self._database.read() as connection:
            return [
                _read_version(row) for row in connection.execute(statement.order_by(column.version.desc())).mappings()
            ]

    def version(self, team_id: int, golden_id: str, version: int) -> GoldenVersion | None:
        """Return one version, or None."""
        column = golden_versions.c
        statement = sa.select(golden_versions).where(
            column.team_id == team_id, column.golden_set_id == golden_id, column.version == version
        )
        with self._database.read() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _read_version(row)

    def items(
        self, team_id: int, golden_id: str, version: int, *, limit: int = MAX_ITEMS, offset: int = 0
    ) -> list[GoldenItem]:
        """Return items of a version in their order."""
        statement = _items(team_id, golden_id, version).limit(limit).offset(offset)
        with self._database.read() as connection:
            return [GoldenItem(**item) for item in connection.scalars(statement)]

    def erase(self, team_id: int, distinct_id: str, *, actor: str, now: datetime) -> list[GoldenVersion]:
        """Take the items of a person out of every version, and return the new versions that replace the newest ones."""
        with self._database.write() as connection:
            return list(_erase(connection, team_id, distinct_id, actor, now))


def _erase(
    connection: Connection, team_id: int, distinct_id: str, actor: str, now: datetime
) -> Iterator[GoldenVersion]:
    item, version = golden_items.c, golden_versions.c
    mine = sa.and_(item.team_id == team_id, item.distinct_id == distinct_id)
    held = connection.execute(sa.select(item.golden_set_id, item.version).where(mine).distinct()).all()
    connection.execute(sa.delete(golden_items).where(mine))
    for golden_id, number in held:
        old = (version.golden_set_id == golden_id, version.version == number)
        connection.execute(sa.update(golden_versions).where(*old).values(incomplete=True))
    for golden_id in sorted({golden_id for golden_id, _ in held}):
        newest = connection.execute(sa.select(sa.func.max(version.version)).where(version.golden_set_id == golden_id))
        number = newest.scalar_one()
        golden = _find(connection, team_id, golden_id, deleted=True)
        if (golden_id, number) in held and golden is not None:
            left = list(connection.scalars(_items(team_id, golden_id, number)))
            yield _store_version(connection, team_id, golden_id, left, actor, now)
            _audit(connection, golden, "erased", {"version": [number, number + 1]}, actor, now)


def _items(team_id: int, golden_id: str, version: int) -> sa.Select[tuple[Any]]:
    column = golden_items.c
    where = (column.team_id == team_id, column.golden_set_id == golden_id, column.version == version)
    return sa.select(column.item).where(*where).order_by(column.position)


def _store_version(
    connection: Connection, team_id: int, golden_id: str, items: Sequence[Mapping[str, Any]], actor: str, now: datetime
) -> GoldenVersion:
    column = golden_versions.c
    last = connection.execute(sa.select(sa.func.max(column.version)).where(column.golden_set_id == golden_id))
    content = _canonical(items)
    values = {
        "golden_set_id": golden_id, "version": (last.scalar_one() or 0) + 1, "team_id": team_id,
        "sha256": sha256(content).hexdigest(), "items": len(items), "size_bytes": len(content), "incomplete": False,
        "created_at": now, "created_by": actor,
    }  # fmt: skip
    insert = sa.insert(golden_versions).values(values).returning(golden_versions)
    version = _read_version(connection.execute(insert).mappings().one())
    for start in range(0, len(items), _ITEMS_AT_ONCE):
        rows = [
            {
                "golden_set_id": golden_id, "version": version.version, "position": position, "team_id": team_id,
                "distinct_id": str(item["event"].get("distinct_id", ""))[:400], "item": dict(item),
            }
            for position, item in enumerate(items[start : start + _ITEMS_AT_ONCE], start)
        ]  # fmt: skip
        connection.execute(sa.insert(golden_items), rows)
    return version


def _find(connection: Connection, team_id: int, golden_id: str, *, deleted: bool = False) -> GoldenSet | None:
    column = golden_sets.c
    statement = sa.select(golden_sets).where(column.team_id == team_id, column.id == golden_id)
    if not deleted:
        statement = statement.where(column.deleted.is_(False))
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _read(row)


def _audit(
    connection: Connection, golden: GoldenSet, action: str, changes: Mapping[str, Any], actor: str, now: datetime
) -> None:
    record(
        connection, team_id=golden.team_id, object_type="golden_set", object_id=golden.id, action=action, actor=actor,
        at=now, changes=changes,
    )  # fmt: skip


def _read(row: sa.RowMapping) -> GoldenSet:
    return GoldenSet(**{each.name: row[each.name] for each in fields(GoldenSet)})


def _read_version(row: sa.RowMapping) -> GoldenVersion:
    return GoldenVersion(**{each.name: row[each.name] for each in fields(GoldenVersion)})
