"""Label queues: which results people are asked to label, and with which probability each was drawn.

An item keeps how it was drawn: its mode, its stratum and its inclusion probability, because only items of a random
sample enter estimates. `storage.sql.label_leases` hands items to labellers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection

from storage.sql.audit import difference, record
from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, json_column, metadata

Mode = Literal["random", "stratified", "focus"]
MAX_ITEMS = 5_000
MAX_LABELLERS = 5
_ITEMS_AT_ONCE = 1_000

label_queues = sa.Table(
    "label_queues",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("question", sa.Integer, nullable=False),
    sa.Column("evaluation_version", sa.Integer, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("name", sa.String(400), nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(32)),
    sa.Column("window_start", UtcDateTime),
    sa.Column("window_end", UtcDateTime),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("labellers_per_item", sa.Integer, nullable=False),
    sa.Column("overlap", sa.Float, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("reveal", sa.Boolean, nullable=False),
    json_column("strata"),
    sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(200)),
    sa.Index("ix_label_queues_team", "team_id", "deleted", "created_at", "id"),
    sa.Index("ix_label_queues_evaluation", "team_id", "evaluation_id", "created_at"),
)

label_queue_items = sa.Table(
    "label_queue_items",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("queue_id", sa.ForeignKey(label_queues.c.id), nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("result_id", sa.String(36), nullable=False),
    sa.Column("target_event_id", sa.String(200), nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("stratum", sa.String(16), nullable=False),
    sa.Column("inclusion_probability", sa.Float),
    sa.Column("wanted", sa.Integer, nullable=False),
    sa.Column("answers", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("queue_id", "position", name="uq_label_queue_items_position"),
    sa.UniqueConstraint("queue_id", "result_id", name="uq_label_queue_items_result"),
    sa.Index("ix_label_queue_items_target", "team_id", "evaluation_id", "target_event_id"),
)
"""Items in the order in which they are handed out, how many labellers each gets (`wanted`), and had (`answers`)."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the window's results.

    Attributes:
        name: `all`, `pass`, `fail`, `low`, `middle` or `high`; empty for a focus queue, which has no population.
        population: results in it when the queue was made.
        above, up_to: the bounds of its scores, where it is a third of the scores.
    """

    name: str
    population: int
    above: float | None = None
    up_to: float | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """One result that is to be labelled, and the stratum that it was drawn from."""

    result_id: str
    target_event_id: str
    stratum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQueue:
    """A queue to be stored.

    Attributes:
        reason: what a focus queue collects.
        window_start, window_end: of the results; None for a focus queue over picked results.
        overlap: the share of items that get two labellers.
        blind: whether the judge's verdict is hidden. reveal: whether it is shown once the label is saved.
    """

    evaluation_id: str
    question: int
    evaluation_version: int
    fingerprint: str
    name: str
    mode: Mode
    reason: str | None
    window_start: datetime | None
    window_end: datetime | None
    size: int
    labellers_per_item: int
    overlap: float
    blind: bool
    reveal: bool
    strata: tuple[Stratum, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(NewQueue):
    """A stored queue."""

    id: str
    team_id: int
    created_at: datetime
    updated_at: datetime
    created_by: str | None


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One item; see the table's columns."""

    id: str
    queue_id: str
    evaluation_id: str
    position: int
    result_id: str
    target_event_id: str
    mode: Mode
    stratum: str
    inclusion_probability: float | None
    wanted: int
    answers: int


_NEW = tuple(each.name for each in fields(NewQueue) if each.name != "strata")
_AUDITED = "label_queue"


class LabelQueues:
    """The queues of all teams; each method names the team. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, team_id: int, queue_id: str, new: NewQueue, items: Sequence[Drawn], *, actor: str, now: datetime
    ) -> Queue:
        """Store a queue with its items, in their order, and return it."""
        values = {name: getattr(new, name) for name in _NEW} | {
            "id": queue_id, "team_id": team_id, "strata": [_as_json(each) for each in new.strata],
            "created_at": now, "updated_at": now, "created_by": actor,
        }  # fmt: skip
        with self._database.write() as connection:
            row = connection.execute(sa.insert(label_queues).values(values).returning(label_queues)).mappings().one()
            queue = _read(row)
            _insert_items(connection, queue, items, first=0)
            _set_probabilities(connection, queue)
            changes = {"mode": [None, new.mode], "size": [None, new.size], "name": [None, new.name]}
            _audit(connection, queue, "created", changes, actor, now)
        return queue

    def get(self, team_id: int, queue_id: str) -> Queue | None:
        """Return one queue that is not deleted, or None."""
        with self._database.read() as connection:
            return find_queue(connection, team_id, queue_id)

    def page(
        self, team_id: int, *, evaluation_id: str | None = None, limit: int, offset: int
    ) -> tuple[list[Queue], int]:
        """Return a page of queues that are not deleted, newest first, and how many there are."""
        column = label_queues.c
        where = [column.team_id == team_id, column.deleted.is_(False)]
        if evaluation_id is not None:
            where.append(column.evaluation_id == evaluation_id)
        order = (column.created_at.desc(), column.id)
        statement = sa.select(label_queues).where(*where).order_by(*order).limit(limit).offset(offset)
        with self._database.read() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(label_queues).where(*where)).scalar_one()
            return [_read(row) for row in connection.execute(statement).mappings()], count

    def update(
        self, team_id: int, queue_id: str, values: Mapping[str, Any], *, actor: str, now: datetime,
        more: Sequence[Drawn] = (),
    ) -> Queue | None:  # fmt: skip
        """Change columns of a queue, and append items; return it, or None if there is none.

        Items that the queue has already are left where they are, and the inclusion probabilities follow.
        """
        with self._database.write() as connection:
            before = find_queue(connection, team_id, queue_id, lock=True)
            if before is None:
                return None
            changes = difference({name: getattr(before, name, False) for name in values}, values)
            changed = sa.update(label_queues).where(label_queues.c.id == queue_id)
            row = (
                connection.execute(changed.values({**values, "updated_at": now}).returning(label_queues))
                .mappings()
                .one()
            )
            queue = _read(row)
            if more:
                _append(connection, queue, more)
            _audit(connection, queue, "deleted" if values.get("deleted") else "updated", changes, actor, now)
        return queue

    def items(self, team_id: int, queue_id: str) -> list[QueueItem]:
        """Return all items of a queue in their order: at most `MAX_ITEMS`."""
        column = label_queue_items.c
        statement = sa.select(label_queue_items).where(column.team_id == team_id, column.queue_id == queue_id)
        with self._database.read() as connection:
            return [read_item(row) for row in connection.execute(statement.order_by(column.position)).mappings()]

    def sizes(self, queue_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return how many items each queue has, by stratum."""
        column = label_queue_items.c
        count = sa.func.count().label("items")
        statement = (
            sa.select(column.queue_id, column.stratum, count)
            .where(column.queue_id.in_(queue_ids))
            .group_by(column.queue_id, column.stratum)
        )
        found: dict[str, dict[str, int]] = {queue_id: {} for queue_id in queue_ids}
        with self._database.read() as connection:
            for row in connection.execute(statement):
                found[row.queue_id][row.stratum] = row.items
        return found

    def standings(self, queue_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return how many items each queue has, and how many of them have all the labels that they want."""
        column = label_queue_items.c
        done = sa.func.sum(sa.case((column.answers >= column.wanted, 1), else_=0))
        statement = (
            sa.select(column.queue_id, sa.func.count(), done)
            .where(column.queue_id.in_(queue_ids))
            .group_by(column.queue_id)
        )
        with self._database.read() as connection:
            found = {queue_id: (items, int(full)) for queue_id, items, full in connection.execute(statement)}
        return {queue_id: found.get(queue_id, (0, 0)) for queue_id in queue_ids}

    def item_states(self) -> dict[str, int]:
        """Return how many items of all teams are `open` and `done`."""
        item, queue = label_queue_items.c, label_queues.c
        done = item.answers >= item.wanted
        statement = (
            sa.select(done.label("done"), sa.func.count().label("items"))
            .join(label_queues, queue.id == item.queue_id)
            .where(queue.deleted.is_(False))
            .group_by(done)
        )
        found = {"open": 0, "done": 0}
        with self._database.read() as connection:
            for row in connection.execute(statement):
                found["done" if row.done else "open"] += row.items
        return found

    def items_of(self, team_id: int, evaluation_id: str, question: int) -> list[tuple[QueueItem, str]]:
        """Return all items of an evaluation's queues for a question, each with the fingerprint of its queue."""
        item, queue = label_queue_items.c, label_queues.c
        statement = (
            sa.select(label_queue_items, queue.fingerprint)
            .join(label_queues, queue.id == item.queue_id)
            .where(queue.team_id == team_id, queue.evaluation_id == evaluation_id, queue.question == question)
        )
        with self._database.read() as connection:
            return [(read_item(row), row["fingerprint"]) for row in connection.execute(statement).mappings()]

    def samples_of(self, team_id: int, evaluation_id: str, question: int, fingerprint: str) -> list[Queue]:
        """Return all random and stratified queues of one version for a question, deleted ones too, oldest first."""
        column = label_queues.c
        statement = (
            sa.select(label_queues)
            .where(
                column.team_id == team_id,
                column.evaluation_id == evaluation_id,
                column.question == question,
                column.fingerprint == fingerprint,
                column.mode != "focus",
            )
            .order_by(column.created_at, column.id)
        )
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(statement).mappings()]


def find_queue(connection: Connection, team_id: int, queue_id: str, *, lock: bool = False) -> Queue | None:
    """Return one queue that is not deleted within a transaction, or None.

    Args:
        lock: wait until no other transaction has the queue locked.
    """
    column = label_queues.c
    statement = sa.select(label_queues).where(
        column.team_id == team_id, column.id == queue_id, column.deleted.is_(False)
    )
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()
    return None if row is None else _read(row)


def labellers_wanted(position: int, overlap: float, labellers_per_item: int) -> int:
    """Return how many labellers the item at `position` gets: two for the share `overlap`, spread evenly."""
    overlaps = int((position + 1) * overlap + 1e-9) > int(position * overlap + 1e-9)
    return max(labellers_per_item, 2) if overlaps else labellers_per_item


def _append(connection: Connection, queue: Queue, more: Sequence[Drawn]) -> None:
    column = label_queue_items.c
    mine = column.queue_id == queue.id
    known = set(connection.scalars(sa.select(column.result_id).where(mine)))
    first = connection.execute(sa.select(sa.func.count()).where(mine)).scalar_one()
    _insert_items(connection, queue, [each for each in more if each.result_id not in known], first=first)
    _set_probabilities(connection, queue)


def _insert_items(connection: Connection, queue: Queue, items: Sequence[Drawn], *, first: int) -> None:
    rows = [
        {
            "id": str(uuid4()), "queue_id": queue.id, "team_id": queue.team_id, "evaluation_id": queue.evaluation_id,
            "position": position, "result_id": each.result_id, "target_event_id": each.target_event_id,
            "mode": queue.mode, "stratum": each.stratum, "answers": 0,
            "wanted": labellers_wanted(position, queue.overlap, queue.labellers_per_item),
        }
        for position, each in enumerate(items, first)
    ]  # fmt: skip
    for start in range(0, len(rows), _ITEMS_AT_ONCE):
        connection.execute(sa.insert(label_queue_items), rows[start : start + _ITEMS_AT_ONCE])


def _set_probabilities(connection: Connection, queue: Queue) -> None:
    if queue.mode == "focus":
        return
    column = label_queue_items.c
    for stratum in queue.strata:
        mine = sa.and_(column.queue_id == queue.id, column.stratum == stratum.name)
        drawn = connection.execute(sa.select(sa.func.count()).where(mine)).scalar_one()
        if drawn:
            share = min(1.0, drawn / stratum.population)
            connection.execute(sa.update(label_queue_items).where(mine).values(inclusion_probability=share))


def _audit(
    connection: Connection, queue: Queue, action: str, changes: Mapping[str, Any], actor: str, now: datetime
) -> None:
    record(
        connection, team_id=queue.team_id, object_type=_AUDITED, object_id=queue.id, action=action, actor=actor,
        at=now, changes=changes,
    )  # fmt: skip


def _as_json(stratum: Stratum) -> dict[str, Any]:
    return {each.name: getattr(stratum, each.name) for each in fields(Stratum)}


def _read(row: sa.RowMapping) -> Queue:
    found = {each.name: row[each.name] for each in fields(Queue)}
    return Queue(**{**found, "strata": tuple(Stratum(**each) for each in row["strata"])})


_ITEM_FIELDS = tuple(each.name for each in fields(QueueItem))


def read_item(row: sa.RowMapping) -> QueueItem:
    """Return the item of one row of the table."""
    return QueueItem(**{name: row[name] for name in _ITEM_FIELDS})
