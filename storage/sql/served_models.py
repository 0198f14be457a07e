"""The models that answered the calls of evaluations, as providers name them. Anchors run when one of them is new.

A provider changes a model under the same name. Some of them say so: the reply names another model (a dated one, say),
or another system fingerprint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, metadata

FORGOTTEN_AFTER = timedelta(days=7)
"""A name that was not seen for so long is new again. One that alternates with another is never new."""
MOST_NAMES = 50
"""Names that are kept of one model of an evaluation; the one that was not seen for longest goes first."""

served_models = sa.Table(
    "served_models",
    metadata,
    sa.Column("evaluation_id", sa.String(36), primary_key=True),
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("served_model", sa.String(100), primary_key=True),
    sa.Column("system_fingerprint", sa.String(100), primary_key=True),
    sa.Column("changed_at", UtcDateTime),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Index("ix_served_models_changed", "changed_at"),
)


@dataclass(frozen=True, slots=True)
class Served:
    """A model that answered a call.

    Attributes:
        model: that was asked, as `provider/name`.
        served_model, system_fingerprint: that the reply named; empty if it named none.
    """

    evaluation_id: str
    model: str
    served_model: str
    system_fingerprint: str


@dataclass(frozen=True, slots=True)
class SeenModel:
    """A stored name.

    Attributes:
        changed_at: when it was new beside another name of the same model; None for the first one.
        seen_at: when it answered last, to some hours.
    """

    served: Served
    changed_at: datetime | None
    seen_at: datetime


class ServedModels:
    """The models that answered, of all teams."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, served: Sequence[Served], *, now: datetime) -> None:
        """Store that these models answered. One that is new beside others of the same model is a change."""
        with self._database.write() as connection:
            for each in served:
                _note(connection, each, now)

    def changed(self, after: datetime) -> dict[str, datetime]:
        """Return the evaluations whose model has changed since `after`, each with its newest change."""
        column = served_models.c
        newest = sa.func.max(column.changed_at, type_=UtcDateTime)
        query = sa.select(column.evaluation_id, newest).where(column.changed_at >= after)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query.group_by(column.evaluation_id))}

    def of(self, evaluation_id: str) -> list[SeenModel]:
        """Return the names that an evaluation's models have had, the one that was seen last first."""
        column = served_models.c
        query = sa.select(served_models).where(column.evaluation_id == evaluation_id)
        query = query.order_by(column.seen_at.desc(), column.model, column.served_model, column.system_fingerprint)
        with self._database.read() as connection:
            return [
                SeenModel(Served(*row[:4]), row.changed_at, row.seen_at)
                for row in connection.execute(query.limit(MOST_NAMES))
            ]


def _note(connection: Connection, served: Served, now: datetime) -> None:
    column = served_models.c
    same_model = (column.evaluation_id == served.evaluation_id, column.model == served.model)
    known = connection.execute(
        sa.select(column.served_model, column.system_fingerprint, column.seen_at)
        .where(*same_model)
        .order_by(column.seen_at)
    ).all()
    name = (served.served_model, served.system_fingerprint)
    seen_at = next((row.seen_at for row in known if tuple(row[:2]) == name), None)
    if seen_at is None:
        for row in known[: max(0, len(known) + 1 - MOST_NAMES)]:
            connection.execute(sa.delete(served_models).where(*same_model, *_named(row[0], row[1])))
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        values = {
            "evaluation_id": served.evaluation_id, "model": served.model, "served_model": name[0],
            "system_fingerprint": name[1], "changed_at": now if known else None, "seen_at": now,
        }  # fmt: skip
        connection.execute(dialect.insert(served_models).values(values).on_conflict_do_nothing())
    elif seen_at < now:
        returned = {"changed_at": now} if seen_at < now - FORGOTTEN_AFTER and len(known) > 1 else {}
        change = sa.update(served_models).where(*same_model, *_named(*name))
        connection.execute(change.values(seen_at=now, **returned))


def _named(served_model: str, system_fingerprint: str) -> tuple[sa.ColumnElement[bool], ...]:
    column = served_models.c
    return column.served_model == served_model, column.system_fingerprint == system_fingerprint
