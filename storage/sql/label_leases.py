"""Who labels which item: a labeller holds a lease of 15 minutes, and nobody answers the same item twice.

LabelLeaseLost  the labeller does not hold the item (any more)

An item is free while fewer labellers hold it or have answered it than it wants.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from storage.sql.engine import Database
from storage.sql.label_queues import Queue, QueueItem, find_queue, label_queue_items, read_item
from storage.sql.labels import Label, NewLabel, add_labels, labels, read_label
from storage.sql.tables import UtcDateTime, metadata

LEASE = timedelta(minutes=15)

label_leases = sa.Table(
    "label_leases",
    metadata,
    sa.Column("item_id", sa.ForeignKey(label_queue_items.c.id), primary_key=True),
    sa.Column("labeller", sa.String(254), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("target_event_id", sa.String(200), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("revealed_at", UtcDateTime),
    sa.Index("ix_label_leases_target", "team_id", "target_event_id", "labeller"),
)
"""`state` is `leased`, `labelled` or `skipped`. `revealed_at`: since when the labeller knows the judge's verdict."""


class LabelLeaseLost(ValueError):
    """The labeller holds no lease on the item: it ran out, or was never given."""


@dataclass(frozen=True, slots=True)
class Leased:
    """An item in the hands of a labeller until `expires_at`. `remaining`: items of the queue that want a label."""

    item: QueueItem
    queue: Queue
    expires_at: datetime
    remaining: int


@dataclass(frozen=True, slots=True)
class InHand(Leased):
    """An item that a labeller holds or has labelled. `revealed`: whether the labeller knows the judge's verdict."""

    labelled: bool
    revealed: bool


class LabelLeases:
    """Items on their way to labellers and back. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, team_id: int, queue_id: str, labeller: str, *, now: datetime) -> Leased | None:
        """Lease the next item of a queue to a labeller; None if there is none, or no such queue.

        Items that the labeller holds already are given again only when nothing else is left, so that a client can
        fetch ahead and an item that a closed page left behind comes back.
        """
        with self._database.write() as connection:
            # The lock keeps two labellers from taking the last place of one item at the same moment.
            queue = find_queue(connection, team_id, queue_id, lock=True)
            if queue is None:
                return None
            item = _free(connection, queue_id, labeller, now) or _held(connection, queue_id, labeller, now)
            if item is None:
                return None
            expires_at = now + LEASE
            _store_lease(connection, team_id, item, labeller, expires_at, None if queue.blind else now)
            return Leased(item, queue, expires_at, _remaining(connection, queue_id))

    def in_hand(self, team_id: int, queue_id: str, item_id: str, labeller: str, *, now: datetime) -> InHand | None:
        """Return an item that the labeller holds or has labelled; None for any other. It changes nothing."""
        with self._database.read() as connection:
            queue = find_queue(connection, team_id, queue_id)
            item = None if queue is None else _item(connection, queue_id, item_id)
            lease = None if item is None else _lease(connection, item_id, labeller)
            if queue is None or item is None or lease is None or not _is_held(lease, now):
                return None
            return InHand(
                item,
                queue,
                lease["expires_at"],
                _remaining(connection, queue_id),
                labelled=lease["state"] == "labelled",
                revealed=lease["revealed_at"] is not None,
            )

    def answer(
        self, team_id: int, queue_id: str, item_id: str, label: NewLabel, *, actor: str | None, now: datetime
    ) -> tuple[Label, QueueItem]:
        """Store the label of a leased item, or a correction of the labeller's own, and return it with its item.

        Args:
            label: its evaluation, question and target are taken from the item, and `after_reveal` from the lease.
            actor: of the entry in the audit trail.

        Raises:
            LabelLeaseLost: the lease is lost, or there is no such item. If the same label under the same client id is
                stored already, it is returned instead, because the answer to the first request may have been lost.
            ClientIdReused: the client id belongs to another label.
        """
        with self._database.write() as connection:
            queue = find_queue(connection, team_id, queue_id, lock=True)
            item = None if queue is None else _item(connection, queue_id, item_id)
            if queue is None or item is None:
                raise LabelLeaseLost(item_id)
            known = _known(connection, team_id, item_id, label)
            if known is not None:
                return known, item
            lease = _lease(connection, item_id, label.labeller)
            if lease is None or not _is_held(lease, now):
                raise LabelLeaseLost(item_id)
            own = replace(
                label,
                evaluation_id=queue.evaluation_id,
                question=queue.question,
                target_event_id=item.target_event_id,
                queue_item=item_id,
                after_reveal=lease["revealed_at"] is not None,
            )
            [stored] = add_labels(connection, team_id, [own], actor=actor, now=now)
            _close(connection, item_id, label.labeller, "labelled", revealed_at=now if queue.reveal else None)
            if lease["state"] != "labelled":
                count = sa.update(label_queue_items).where(label_queue_items.c.id == item_id)
                connection.execute(count.values(answers=label_queue_items.c.answers + 1))
        return stored, item

    def skip(self, team_id: int, queue_id: str, item_id: str, labeller: str, *, now: datetime) -> None:
        """Pass a leased item on to others. Raises `LabelLeaseLost`."""
        with self._database.write() as connection:
            queue = find_queue(connection, team_id, queue_id, lock=True)
            item = None if queue is None else _item(connection, queue_id, item_id)
            lease = None if item is None else _lease(connection, item_id, labeller)
            if lease is None or lease["state"] != "leased" or lease["expires_at"] <= now:
                raise LabelLeaseLost(item_id)
            _close(connection, item_id, labeller, "skipped")

    def states(self, queue_id: str, *, now: datetime) -> dict[str, int]:
        """Return how many leases of a queue there are by state; those that ran out are left out."""
        lease = label_leases.c
        of_queue = lease.item_id.in_(sa.select(label_queue_items.c.id).where(label_queue_items.c.queue_id == queue_id))
        running = sa.or_(lease.state != "leased", lease.expires_at > now)
        statement = (
            sa.select(lease.state, sa.func.count().label("leases")).where(of_queue, running).group_by(lease.state)
        )
        with self._database.read() as connection:
            return {row.state: row.leases for row in connection.execute(statement)}


def revealed_targets(database: Database, team_id: int, labeller: str, targets: Collection[str]) -> set[tuple[str, str]]:
    """Return the pairs of evaluation and target, among `targets`, whose verdicts the labeller was shown."""
    lease = label_leases.c
    where = (lease.team_id == team_id, lease.target_event_id.in_(list(targets)), lease.labeller == labeller)
    statement = sa.select(lease.evaluation_id, lease.target_event_id).where(*where, lease.revealed_at.is_not(None))
    with database.read() as connection:
        return {(row.evaluation_id, row.target_event_id) for row in connection.execute(statement)}


def _remaining(connection: Connection, queue_id: str) -> int:
    column = label_queue_items.c
    is_open = (column.queue_id == queue_id, column.answers < column.wanted)
    return int(connection.execute(sa.select(sa.func.count()).where(*is_open)).scalar_one())


def _free(connection: Connection, queue_id: str, labeller: str, now: datetime) -> QueueItem | None:
    item, lease = label_queue_items.c, label_leases.c
    of_item = lease.item_id == item.id
    holds = sa.and_(lease.state == "leased", lease.expires_at > now)
    taken = sa.select(sa.func.count()).where(of_item, sa.or_(lease.state == "labelled", holds)).scalar_subquery()
    mine = sa.exists().where(of_item, lease.labeller == labeller, sa.or_(lease.state != "leased", holds))
    statement = (
        sa.select(label_queue_items)
        .where(item.queue_id == queue_id, item.answers < item.wanted, ~mine, taken < item.wanted)
        .order_by(item.position)
        .limit(1)
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else read_item(row)


def _held(connection: Connection, queue_id: str, labeller: str, now: datetime) -> QueueItem | None:
    item, lease = label_queue_items.c, label_leases.c
    statement = (
        sa.select(label_queue_items)
        .join(label_leases, lease.item_id == item.id)
        .where(item.queue_id == queue_id, lease.labeller == labeller, lease.state == "leased", lease.expires_at > now)
        .order_by(lease.expires_at, item.position)
        .limit(1)
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else read_item(row)


def _store_lease(
    connection: Connection, team_id: int, item: QueueItem, labeller: str, expires_at: datetime,
    revealed_at: datetime | None,
) -> None:  # fmt: skip
    lease = label_leases.c
    mine = (lease.item_id == item.id, lease.labeller == labeller)
    values = {
        "state": "leased", "expires_at": expires_at,
        "revealed_at": sa.func.coalesce(lease.revealed_at, revealed_at),
    }  # fmt: skip
    if connection.execute(sa.update(label_leases).where(*mine).values(values)).rowcount == 0:
        connection.execute(
            sa.insert(label_leases).values(
                item_id=item.id, labeller=labeller, team_id=team_id, evaluation_id=item.evaluation_id,
                target_event_id=item.target_event_id, state="leased", expires_at=expires_at, revealed_at=revealed_at,
            )
        )  # fmt: skip


def _item(connection: Connection, queue_id: str, item_id: str) -> QueueItem | None:
    item = label_queue_items.c
    statement = sa.select(label_queue_items).where(item.queue_id == queue_id, item.id == item_id)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else read_item(row)


def _lease(connection: Connection, item_id: str, labeller: str) -> sa.RowMapping | None:
    lease = label_leases.c
    statement = sa.select(label_leases).where(lease.item_id == item_id, lease.labeller == labeller)
    return connection.execute(statement).mappings().one_or_none()


def _is_held(lease: sa.RowMapping, now: datetime) -> bool:
    return bool(lease["state"] == "labelled" or (lease["state"] == "leased" and lease["expires_at"] > now))


def _known(connection: Connection, team_id: int, item_id: str, label: NewLabel) -> Label | None:
    """Return the stored label of the item that has the client id of `label`, if its verdict is the same."""
    if label.client_id is None:
        return None
    column = labels.c
    statement = sa.select(labels).where(
        column.team_id == team_id, column.labeller == label.labeller, column.client_id == label.client_id,
        column.queue_item == item_id,
    )  # fmt: skip
    row = connection.execute(statement).mappings().one_or_none()
    found = None if row is None else read_label(row)
    return found if found is not None and found.verdict == label.verdict else None


def _close(
    connection: Connection, item_id: str, labeller: str, state: str, *, revealed_at: datetime | None = None
) -> None:
    lease = label_leases.c
    values: dict[str, object] = {"state": state}
    if revealed_at is not None:
        values["revealed_at"] = sa.func.coalesce(lease.revealed_at, revealed_at)
    connection.execute(
        sa.update(label_leases).where(lease.item_id == item_id, lease.labeller == labeller).values(values)
    )
