"""Shifts of pass rates that the live windows signalled. They are kept, so that readers need not wait for the event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, metadata

evaluation_shifts = sa.Table(
    "evaluation_shifts",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("evaluation_id", sa.String(200), nullable=False),
    sa.Column("evaluation_version", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String(200), nullable=False),
    sa.Column("direction", sa.String(4), nullable=False),
    sa.Column("window_start", UtcDateTime, nullable=False),
    sa.Column("passed_before", sa.BigInteger, nullable=False),
    sa.Column("decided_before", sa.BigInteger, nullable=False),
    sa.Column("passed_after", sa.BigInteger, nullable=False),
    sa.Column("decided_after", sa.BigInteger, nullable=False),
    sa.Column("statistic", sa.Float, nullable=False),
    sa.Index("ix_evaluation_shifts_evaluation", "team_id", "evaluation_id", "window_start"),
)


@dataclass(frozen=True, slots=True)
class StoredShift:
    """One shift. `id` follows from the version and the window; `window_start` is that of the window that showed it."""

    id: str
    team_id: int
    evaluation_id: str
    evaluation_version: int
    fingerprint: str
    direction: Literal["up", "down"]
    window_start: datetime
    passed_before: int
    decided_before: int
    passed_after: int
    decided_after: int
    statistic: float


class Shifts:
    """The shifts of all teams."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, shifts: Sequence[StoredShift]) -> None:
        """Store shifts; one that is there already stays as it is."""
        if not shifts:
            return
        dialect = postgresql if self._database.dialect == "postgresql" else sqlite
        insert = dialect.insert(evaluation_shifts).values([asdict(shift) for shift in shifts])
        with self._database.write() as connection:
            connection.execute(insert.on_conflict_do_nothing())

    def find(
        self, team_id: int, evaluation_id: str, *, after: datetime | None = None, before: datetime | None = None
    ) -> list[StoredShift]:
        """Return an evaluation's newest shifts, at most 100, the newest first."""
        column = evaluation_shifts.c
        query = sa.select(evaluation_shifts).where(column.team_id == team_id, column.evaluation_id == evaluation_id)
        if after is not None:
            query = query.where(column.window_start >= after)
        if before is not None:
            query = query.where(column.window_start < before)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(column.window_start.desc(), column.id).limit(100)).mappings()
            return [StoredShift(**row) for row in found]

    def of_team(self, team_id: int, *, after: datetime, limit: int = 100) -> list[StoredShift]:
        """Return the newest shifts of all evaluations of a team, the newest first."""
        column = evaluation_shifts.c
        query = sa.select(evaluation_shifts).where(column.team_id == team_id, column.window_start >= after)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(column.window_start.desc(), column.id).limit(limit)).mappings()
            return [StoredShift(**row) for row in found]

    def shifted(self, after: datetime) -> set[str]:
        """Return the evaluations of all teams whose pass rate has shifted since `after`."""
        column = evaluation_shifts.c
        query = sa.select(column.evaluation_id).where(column.window_start >= after).distinct()
        with self._database.read() as connection:
            return set(connection.scalars(query))
