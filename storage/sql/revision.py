"""The revision: a number that grows with every change of a definition, in the change's own transaction.

A processor asks for it every second. Whatever it reads, all changes up to that number are visible to it:
the row is locked from `lock_definitions` to the commit, so revisions become visible in their order.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, Connection, Integer, String, Table, insert, select, update

from storage.sql.engine import StoreSchemaError
from storage.sql.tables import metadata

store_revision = Table(
    "store_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("store_id", String(36), nullable=False),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""One row. `revision` grows with every change of a definition; `store_id` tells a store from its replacement."""

team_revisions = Table(
    "team_revisions",
    metadata,
    Column("team_id", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False, index=True),
)
"""The revision at which each team's definitions changed last."""


class Revision(NamedTuple):
    """State of the store.

    `store_id` differs between a store and one that replaced it, even at the same number.
    """

    store_id: str
    number: int


def read_revision(connection: Connection) -> Revision:
    """Return the current revision: one row by its primary key.

    Raises:
        StoreSchemaError: the store has none, so it was not set up.
    """
    row = connection.execute(select(store_revision.c.store_id, store_revision.c.revision)).one_or_none()
    if row is None:
        raise StoreSchemaError("the definition store has no revision; run `gavel init`")
    return Revision(row.store_id, row.revision)


def lock_definitions(connection: Connection) -> None:
    """Wait for other writers of definitions. Called first in every transaction that changes some.

    One lock for all, taken before any row, so that no two writers can wait for each other.
    """
    connection.execute(select(store_revision.c.id).with_for_update())


def bump(connection: Connection, team_id: int) -> int:
    """Count one change of the team's definitions and return the new revision.."""
    number = connection.execute(
        update(store_revision).values(revision=store_revision.c.revision + 1).returning(store_revision.c.revision)
    ).scalar_one_or_none()
    if number is None:
        raise StoreSchemaError("the definition store has no revision; run `gavel init`")
    changed = connection.execute(
        update(team_revisions).where(team_revisions.c.team_id == team_id).values(revision=number)
    )
    if changed.rowcount == 0:
        connection.execute(insert(team_revisions).values(team_id=team_id, revision=number))
    return int(number)


def changed_teams(connection: Connection, since: int) -> list[int]:
    """Return the teams whose definitions changed after revision `since`."""
    return list(
        connection.scalars(
            select(team_revisions.c.team_id).where(team_revisions.c.revision > since).order_by(team_revisions.c.team_id)
        )
    )
