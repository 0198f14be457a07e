"""Clustering: a team's jobs and event filters, and the runs of its jobs.

    pending ──claim──▶ running ──finish──▶ completed | failed
       ▲                  │
       └── give_back, or the lease runs out: at most `MOST_ATTEMPTS` times

A run is claimed with a lease, so one instance works on it; if that one dies, another claims it when the lease is over.
Each enabled job has one scheduled run per day (UTC), which a unique constraint holds among several instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from storage.sql.audit import record
from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, json_column, metadata

AnalysisLevel = Literal["trace", "generation", "evaluation"]
RunState = Literal["pending", "running", "completed", "failed"]

MOST_JOBS = 5
"""Jobs of a team."""
MOST_ATTEMPTS = 3
_KEPT_RUNS = 30
"""Finished runs of a job that are kept."""

clustering_jobs = sa.Table(
    "clustering_jobs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.String(400), nullable=False),
    sa.Column("analysis_level", sa.String(16), nullable=False),
    json_column("event_filters"),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("next_cluster", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("team_id", "name", name="uq_clustering_jobs_name"),
)
clustering_configs = sa.Table(
    "clustering_configs",
    metadata,
    sa.Column("team_id", sa.BigInteger, primary_key=True, autoincrement=False),
    json_column("event_filters"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)
clustering_runs = sa.Table(
    "clustering_runs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("method", sa.String(16), nullable=False),
    sa.Column("max_samples", sa.Integer, nullable=False),
    sa.Column("window_start", UtcDateTime, nullable=False),
    sa.Column("window_end", UtcDateTime, nullable=False),
    sa.Column("scheduled_on", sa.Date),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    json_column("result", nullable=True),
    sa.Column("lease_owner", sa.String(200)),
    sa.Column("lease_expires_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.UniqueConstraint("job_id", "scheduled_on", name="uq_clustering_runs_day"),
    sa.Index("ix_clustering_runs_job", "team_id", "job_id", "created_at"),
    sa.Index("ix_clustering_runs_state", "state", "created_at"),
)


@dataclass(frozen=True, slots=True)
class QueuedClustering:
    """One clustering job. `next_cluster` is the smallest cluster number that none of its runs has used."""

    id: str
    team_id: int
    name: str
    analysis_level: AnalysisLevel
    event_filters: Any
    enabled: bool
    next_cluster: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Config:
    """A team's event filters, which every run of the team applies beside its job's own."""

    team_id: int
    event_filters: Any
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ClusteringRun:
    """One run; `result` is None until it is completed."""

    id: str
    team_id: int
    job_id: str
    state: RunState
    method: str
    max_samples: int
    window_start: datetime
    window_end: datetime
    attempts: int
    error: str
    result: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None


class TooManyJobs(ValueError):
    """The team has `MOST_JOBS` jobs."""


class NameTaken(ValueError):
    """Another job of the team has this name."""


class ClusteringJobs:
    """The jobs and filters of all teams."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, team_id: int, values: Mapping[str, Any], *, actor: str, now: datetime) -> QueuedClustering:
        """Make a job of `name`, `analysis_level`, `event_filters` and `enabled`.

        Raises:
            TooManyJobs, NameTaken: it is not made.
        """
        row = {
            **values, "id": str(uuid4()), "team_id": team_id, "next_cluster": 0, "created_at": now, "updated_at": now,
        }  # fmt: skip
        count = sa.select(sa.func.count()).select_from(clustering_jobs).where(clustering_jobs.c.team_id == team_id)
        try:
            with self._database.write() as connection:
                # The row of the team is written first, so that two requests at once count one after the other.
                _make_config(connection, team_id, now, lock=True)
                if connection.execute(count).scalar_one() >= MOST_JOBS:
                    raise TooManyJobs
                made = connection.execute(sa.insert(clustering_jobs).values(row).returning(clustering_jobs)).mappings()
                job = _job(made.one())
                _audit(connection, job, actor, "created", now, values)
        except sa.exc.IntegrityError as error:
            raise NameTaken from error
        return job

    def get(self, team_id: int, job_id: str) -> QueuedClustering | None:
        """Return one job of the team, or None."""
        query = sa.select(clustering_jobs).where(*_of(team_id, job_id))
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _job(row)

    def all(self, team_id: int) -> list[QueuedClustering]:
        """Return the team's jobs, the oldest first."""
        column = clustering_jobs.c
        query = sa.select(clustering_jobs).where(column.team_id == team_id).order_by(column.created_at, column.id)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def update(
        self, team_id: int, job_id: str, values: Mapping[str, Any], *, actor: str, now: datetime
    ) -> QueuedClustering | None:
        """Change a job; None if the team has no such job. Raises `NameTaken`."""
        change = sa.update(clustering_jobs).where(*_of(team_id, job_id)).values(**values, updated_at=now)
        try:
            with self._database.write() as connection:
                row = connection.execute(change.returning(clustering_jobs)).mappings().one_or_none()
                if row is None:
                    return None
                job = _job(row)
                _audit(connection, job, actor, "updated", now, values)
        except sa.exc.IntegrityError as error:
            raise NameTaken from error
        return job

    def delete(self, team_id: int, job_id: str, *, actor: str, now: datetime) -> bool:
        """Delete a job with its runs; return whether there was one."""
        with self._database.write() as connection:
            gone = sa.delete(clustering_jobs).where(*_of(team_id, job_id)).returning(clustering_jobs)
            row = connection.execute(gone).mappings().one_or_none()
            if row is None:
                return False
            connection.execute(sa.delete(clustering_runs).where(clustering_runs.c.job_id == job_id))
            _audit(connection, _job(row), actor, "deleted", now, {})
        return True

    def config(self, team_id: int, *, now: datetime) -> Config:
        """Return the team's filters; they are made at the first time."""
        with self._database.write() as connection:
            return _make_config(connection, team_id, now)

    def set_event_filters(self, team_id: int, event_filters: Any, *, now: datetime) -> Config:
        """Replace the team's filters."""
        with self._database.write() as connection:
            _make_config(connection, team_id, now)
            change = (
                sa.update(clustering_configs)
                .where(clustering_configs.c.team_id == team_id)
                .values(event_filters=event_filters, updated_at=now)
                .returning(clustering_configs)
            )
            return Config(**connection.execute(change).mappings().one())


class ClusteringRuns:
    """The runs of all jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(
        self,
        job: QueuedClustering,
        *,
        method: str,
        max_samples: int,
        window_start: datetime,
        window_end: datetime,
        actor: str,
        now: datetime,
    ) -> ClusteringRun:
        """Add a run that waits for an instance."""
        row = _new_run(job, method, max_samples, window_start, window_end, now)
        with self._database.write() as connection:
            added = connection.execute(sa.insert(clustering_runs).values(row).returning(clustering_runs))
            run = _run(added.mappings().one())
            _audit(connection, job, actor, "run", now, {"run": run.id, "method": method})
        return run

    def schedule(self, *, lookback_days: int, max_samples: int, now: datetime) -> int:
        """Add today's run of every enabled job that has none yet; return how many were added."""
        today = now.date()
        column = clustering_jobs.c
        has_run = sa.exists().where(clustering_runs.c.job_id == column.id, clustering_runs.c.scheduled_on == today)
        due = sa.select(clustering_jobs).where(column.enabled, ~has_run).limit(100)
        with self._database.read() as connection:
            jobs = [_job(row) for row in connection.execute(due).mappings()]
        for job in jobs:
            start = now - timedelta(days=lookback_days)
            row = _new_run(job, "auto", max_samples, start, now, now, scheduled_on=today)
            dialect = postgresql if self._database.dialect == "postgresql" else sqlite
            with self._database.write() as connection:
                connection.execute(dialect.insert(clustering_runs).values(row).on_conflict_do_nothing())
        return len(jobs)

    def get(self, team_id: int, job_id: str, run_id: str) -> ClusteringRun | None:
        """Return one run of a team's job, or None."""
        column = clustering_runs.c
        query = sa.select(clustering_runs).where(
            column.team_id == team_id, column.job_id == job_id, column.id == run_id
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _run(row)

    def page(self, team_id: int, job_id: str, *, limit: int, offset: int) -> tuple[list[ClusteringRun], int]:
        """Return a page of a job's runs without their results, newest first, and how many there are."""
        column = clustering_runs.c
        where = (column.team_id == team_id, column.job_id == job_id)
        shown = [each for each in column if each.name != "result"]
        query = sa.select(*shown, sa.literal(None).label("result")).where(*where)
        query = query.order_by(column.created_at.desc(), column.id).limit(limit).offset(offset)
        with self._database.read() as connection:
            count = connection.execute(
                sa.select(sa.func.count()).select_from(clustering_runs).where(*where)
            ).scalar_one()
            return [_run(row) for row in connection.execute(query).mappings()], count

    def previous_members(self, job_id: str) -> dict[int, list[str]]:
        """Return the item ids of each cluster of the job's newest completed run, without outliers."""
        column = clustering_runs.c
        query = (
            sa.select(column.result)
            .where(column.job_id == job_id, column.state == "completed")
            .order_by(column.finished_at.desc(), column.id)
            .limit(1)
        )
        with self._database.read() as connection:
            result = connection.execute(query).scalar_one_or_none()
        clusters: Sequence[Mapping[str, Any]] = (result or {}).get("clusters", ())
        return {
            each["cluster_id"]: [member["id"] for member in each["members"]]
            for each in clusters
            if each["cluster_id"] >= 0
        }

    def claim(self, owner: str, *, now: datetime, lease_s: float) -> ClusteringRun | None:
        """Take the oldest run that waits, or whose instance died; None if none waits."""
        column = clustering_runs.c
        died = sa.and_(column.state == "running", column.lease_expires_at <= now)
        waiting = sa.or_(column.state == "pending", died)
        oldest = sa.select(column.id).where(waiting).order_by(column.created_at, column.id).limit(1)
        change = (
            sa.update(clustering_runs)
            # The condition stands again on the row itself: of two instances that saw it waiting, one changes it.
            .where(column.id == oldest.scalar_subquery(), waiting)
            .values(
                state="running",
                attempts=column.attempts + 1,
                lease_owner=owner,
                lease_expires_at=now + timedelta(seconds=lease_s),
            )
            .returning(clustering_runs)
        )
        with self._database.write() as connection:
            row = connection.execute(change).mappings().one_or_none()
        return None if row is None else _run(row)

    def extend(self, run_id: str, owner: str, *, now: datetime, lease_s: float) -> bool:
        """Extend a lease; return False if it is lost or the run is gone."""
        return self._own(run_id, owner, lease_expires_at=now + timedelta(seconds=lease_s))

    def give_back(self, run_id: str, owner: str) -> bool:
        """Let another instance go on at once: this one ends, and the attempt does not count."""
        attempts = clustering_runs.c.attempts - 1
        return self._own(run_id, owner, state="pending", attempts=attempts, lease_owner=None, lease_expires_at=None)

    def retry(self, run_id: str, owner: str, error: str, *, now: datetime, wait_s: float) -> bool:
        """Note why an attempt failed, and let the run be claimed again after `wait_s`."""
        return self._own(run_id, owner, error=error, lease_expires_at=now + timedelta(seconds=wait_s))

    def fail(self, run_id: str, owner: str, error: str, *, now: datetime) -> bool:
        """End a run without a result."""
        return self._own(run_id, owner, state="failed", error=error, finished_at=now, lease_owner=None)

    def complete(
        self, run: ClusteringRun, owner: str, result: Mapping[str, Any], next_cluster: int, *, now: datetime
    ) -> bool:
        """End a run with its result, and drop the job's oldest runs; return False if the lease is lost."""
        column = clustering_runs.c
        done = {"state": "completed", "error": "", "result": dict(result), "finished_at": now, "lease_owner": None}
        mine = (column.id == run.id, column.lease_owner == owner, column.state == "running")
        ended = sa.and_(column.job_id == run.job_id, column.state.in_(("completed", "failed")))
        old = sa.select(column.id).where(ended).order_by(column.created_at.desc(), column.id).offset(_KEPT_RUNS)
        with self._database.write() as connection:
            if not connection.execute(sa.update(clustering_runs).where(*mine).values(**done)).rowcount:
                return False
            number = sa.update(clustering_jobs).where(clustering_jobs.c.id == run.job_id)
            connection.execute(number.values(next_cluster=next_cluster))
            gone = [row.id for row in connection.execute(old)]
            connection.execute(sa.delete(clustering_runs).where(column.id.in_(gone)))
        return True

    def _own(self, run_id: str, owner: str, **values: Any) -> bool:
        column = clustering_runs.c
        mine = (column.id == run_id, column.lease_owner == owner, column.state == "running")
        with self._database.write() as connection:
            return connection.execute(sa.update(clustering_runs).where(*mine).values(**values)).rowcount == 1


def _of(team_id: int, job_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return clustering_jobs.c.team_id == team_id, clustering_jobs.c.id == job_id


def _make_config(connection: Connection, team_id: int, now: datetime, *, lock: bool = False) -> Config:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {"team_id": team_id, "event_filters": [], "created_at": now, "updated_at": now}
    connection.execute(dialect.insert(clustering_configs).values(row).on_conflict_do_nothing())
    query = sa.select(clustering_configs).where(clustering_configs.c.team_id == team_id)
    return Config(**connection.execute(query.with_for_update() if lock else query).mappings().one())


def _new_run(
    job: QueuedClustering,
    method: str,
    max_samples: int,
    window_start: datetime,
    window_end: datetime,
    now: datetime,
    *,
    scheduled_on: date | None = None,
) -> dict[str, Any]:
    return {
        "id": str(uuid4()), "team_id": job.team_id, "job_id": job.id, "state": "pending", "method": method,
        "max_samples": max_samples, "window_start": window_start, "window_end": window_end,
        "scheduled_on": scheduled_on, "attempts": 0, "error": "", "created_at": now,
    }  # fmt: skip


def _audit(
    connection: Connection, job: QueuedClustering, actor: str, action: str, now: datetime, values: Mapping[str, Any]
) -> None:
    record(
        connection, team_id=job.team_id, actor=actor, action=action, object_type="clustering_job", object_id=job.id,
        changes={name: [None, value] for name, value in values.items()}, at=now,
    )  # fmt: skip


def _job(row: sa.RowMapping) -> QueuedClustering:
    return QueuedClustering(**row)


def _run(row: sa.RowMapping) -> ClusteringRun:
    return ClusteringRun(**{name: row[name] for name in ClusteringRun.__dataclass_fields__})
