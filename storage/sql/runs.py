"""Manual runs that were requested over the API, with requester and time. The outcome of a run is its result event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from storage.sql.audit import record
from storage.sql.engine import Database
from storage.sql.tables import BigId, UtcDateTime, metadata

evaluation_runs = sa.Table(
    "evaluation_runs",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("workflow_id", sa.String(300), nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("evaluation_name", sa.String(400), nullable=False),
    sa.Column("target_event_id", sa.String(200), nullable=False),
    sa.Column("requested_at", UtcDateTime, nullable=False),
    sa.Column("requested_by", sa.String(200)),
    sa.UniqueConstraint("team_id", "workflow_id", name="uq_evaluation_runs_workflow"),
    sa.Index("ix_evaluation_runs_team", "team_id", "id"),
    sa.Index("ix_evaluation_runs_evaluation", "team_id", "evaluation_id", "id"),
)


@dataclass(frozen=True, slots=True)
class ManualRun:
    """One run that was asked for. `workflow_id` is its run key, from which the id of its result follows."""

    team_id: int
    workflow_id: str
    evaluation_id: str
    evaluation_name: str
    target_event_id: str
    requested_at: datetime
    requested_by: str | None


class RunExists(ValueError):
    """This team has a run with this key: it was asked for in the same millisecond."""


class ManualRuns:
    """The manual runs of all teams; each method names the team. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: ManualRun) -> None:
        """Remember a run.

        Raises:
            RunExists: the team has one with this key.
        """
        try:
            with self._database.write() as connection:
                connection.execute(
                    sa.insert(evaluation_runs).values({n: getattr(run, n) for n in ManualRun.__dataclass_fields__})
                )
                _audit(connection, run, "created", run.requested_at)
        except sa.exc.IntegrityError as error:
            raise RunExists(run.workflow_id) from error

    def remove(self, run: ManualRun, *, now: datetime) -> None:
        """Forget a run whose task could not be sent."""
        runs = evaluation_runs.c
        with self._database.write() as connection:
            connection.execute(
                sa.delete(evaluation_runs).where(runs.team_id == run.team_id, runs.workflow_id == run.workflow_id)
            )
            _audit(connection, run, "withdrawn", now)

    def get(self, team_id: int, workflow_id: str) -> ManualRun | None:
        """Return one run, or None."""
        runs = evaluation_runs.c
        query = sa.select(evaluation_runs).where(runs.team_id == team_id, runs.workflow_id == workflow_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _read(row)

    def page(
        self, team_id: int, *, limit: int, offset: int, evaluation_id: str | None = None
    ) -> tuple[list[ManualRun], int]:
        """Return a page, newest first, and how many there are."""
        where = [evaluation_runs.c.team_id == team_id]
        if evaluation_id is not None:
            where.append(evaluation_runs.c.evaluation_id == evaluation_id)
        query = (
            sa.select(evaluation_runs).where(*where).order_by(evaluation_runs.c.id.desc()).limit(limit).offset(offset)
        )
        with self._database.read() as connection:
            count = connection.execute(
                sa.select(sa.func.count()).select_from(evaluation_runs).where(*where)
            ).scalar_one()
            return [_read(row) for row in connection.execute(query).mappings()], count


def _audit(connection: sa.Connection, run: ManualRun, action: str, at: datetime) -> None:
    record(
        connection, team_id=run.team_id, object_type="evaluation_run", object_id=run.evaluation_id, action=action,
        actor=run.requested_by, at=at, changes={"target_event_id": [None, run.target_event_id]},
    )  # fmt: skip


def _read(row: sa.RowMapping) -> ManualRun:
    return ManualRun(**{name: row[name] for name in ManualRun.__dataclass_fields__})
