"""Backfills: an evaluation run over a window of the past, asked for over the API and carried out by a runner.

The contract between the API, which asks, and a runner, which does it:

    pending ──claim──▶ running ──finish──▶ completed | failed
       │                │  ▲
       │          pause │  │ resume
       │                ▼  │
       ├──────────────▶ paused
       └── cancel from pending, running or paused ──▶ cancelled

- One of `pending`, `running`, `paused` exists per evaluation: a partial unique index holds it.
- A runner calls `claim(owner, ...)`: it gets the oldest pending backfill, or a running one whose lease ran out
  because its runner died, and goes on from `cursor` (a text of the runner's own; empty at the start).
- It calls `report(...)` every few seconds, at least twice per lease: stores counters and cursor, extends the lease, and
  returns the state. Anything but `running` means stop: `paused` and `cancelled` were asked for over the API, and
  the lease is given up with the answer; None means that the lease was lost to another runner, which goes on
  from the last cursor that was stored.
- Counters are totals since the start, so storing them twice does no harm. Results are idempotent (their ids
  follow from the definition and the event), so the events between the stored cursor and a crash may be run again.
- `give_back(...)` makes a running one `pending` again: its runner ends in order. `finish(...)` ends it. `resume`
  makes a paused one `pending` again, with its cursor.
- A backfill whose evaluation is deleted is cancelled with it (`cancel_open`): no one could reach it any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection

from storage.sql.audit import record
from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, metadata

BackfillState = Literal["pending", "running", "paused", "cancelled", "completed", "failed"]
CATCH_UP_ACTOR = "gavel"
"""Who asked for a backfill of what an evaluation missed while it was switched off; see `storage.sql.catch_ups`."""
OPEN_STATES: tuple[BackfillState, ...] = ("pending", "running", "paused")

_OPEN = "state IN ('pending', 'running', 'paused')"

backfills = sa.Table(
    "backfills",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("evaluation_version", sa.Integer, nullable=False),
    sa.Column("window_start", UtcDateTime, nullable=False),
    sa.Column("window_end", UtcDateTime, nullable=False),
    sa.Column("rerun_existing", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.Column("cursor", sa.Text, nullable=False, server_default=""),
    sa.Column("total", sa.BigInteger),
    sa.Column("read", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("matched", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("sampled_out", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("evaluated", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("skipped", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("failed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lease_owner", sa.String(200)),
    sa.Column("lease_expires_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("created_by", sa.String(200)),
    sa.Index(
        "ix_backfills_one_open",
        "evaluation_id",
        unique=True,
        sqlite_where=sa.text(_OPEN),
        postgresql_where=sa.text(_OPEN),
    ),
    sa.Index("ix_backfills_evaluation", "team_id", "evaluation_id", "created_at"),
    sa.Index("ix_backfills_state", "state", "created_at"),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """Totals since the start. `total` is how many events the window holds, None until that is known."""

    total: int | None = None
    read: int = 0
    matched: int = 0
    sampled_out: int = 0
    evaluated: int = 0
    skipped: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill as it is stored."""

    id: str
    team_id: int
    evaluation_id: str
    evaluation_version: int
    window_start: datetime
    window_end: datetime
    rerun_existing: bool
    state: BackfillState
    error: str
    cursor: str
    progress: Progress
    lease_owner: str | None
    lease_expires_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    created_by: str | None


class BackfillOpen(ValueError):
    """The evaluation has a backfill that is not finished; one at a time."""


class WrongState(ValueError):
    """The backfill's `state` does not allow the change."""

    def __init__(self, state: BackfillState) -> None:
        self.state = state
        super().__init__(f"the backfill is {state}")


class Backfills:
    """The backfills of all teams. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        *,
        team_id: int,
        evaluation_id: str,
        evaluation_version: int,
        window_start: datetime,
        window_end: datetime,
        rerun_existing: bool,
        actor: str,
        now: datetime,
    ) -> Backfill:
        """Ask for a backfill.

        Raises:
            BackfillOpen: the evaluation has one that is not finished.
        """
        values = {
            "id": str(uuid4()), "team_id": team_id, "evaluation_id": evaluation_id,
            "evaluation_version": evaluation_version, "window_start": window_start, "window_end": window_end,
            "rerun_existing": rerun_existing, "state": "pending", "created_at": now, "updated_at": now,
            "created_by": actor,
        }  # fmt: skip
        try:
            with self._database.write() as connection:
                row = connection.execute(sa.insert(backfills).values(values).returning(backfills)).mappings().one()
                _audit(connection, _read(row), actor, "created", now)
        except sa.exc.IntegrityError as error:
            raise BackfillOpen(evaluation_id) from error
        return _read(row)

    def get(self, team_id: int, backfill_id: str) -> Backfill | None:
        """Return one backfill of the team, or None."""
        query = sa.select(backfills).where(backfills.c.team_id == team_id, backfills.c.id == backfill_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _read(row)

    def page(self, team_id: int, evaluation_id: str, *, limit: int, offset: int) -> tuple[list[Backfill], int]:
        """Return a page of an evaluation's backfills, newest first, and how many there are."""
        where = [backfills.c.team_id == team_id, backfills.c.evaluation_id == evaluation_id]
        order = (backfills.c.created_at.desc(), backfills.c.id)
        query = sa.select(backfills).where(*where).order_by(*order).limit(limit).offset(offset)
        with self._database.read() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(backfills).where(*where)).scalar_one()
            return [_read(row) for row in connection.execute(query).mappings()], count

    def of_team(self, team_id: int, *, only_open: bool = False, limit: int = 100) -> list[Backfill]:
        """Return the team's backfills, newest first."""
        wanted = [backfills.c.team_id == team_id]
        if only_open:
            wanted.append(backfills.c.state.in_(OPEN_STATES))
        query = sa.select(backfills).where(*wanted).order_by(backfills.c.created_at.desc(), backfills.c.id).limit(limit)
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query).mappings()]

    def of_all_teams(self, *, limit: int = 200) -> list[Backfill]:
        """Return the backfills that are not finished, of all teams, newest first."""
        query = sa.select(backfills).where(backfills.c.state.in_(OPEN_STATES)).order_by(backfills.c.created_at.desc())
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query.limit(limit)).mappings()]

    def cancel(self, team_id: int, backfill_id: str, *, actor: str, now: datetime) -> Backfill | None:
        """Cancel one that is not finished; None if the team has no such backfill. Raises `WrongState`."""
        change = {"state": "cancelled", "finished_at": now}
        return self._change(team_id, backfill_id, OPEN_STATES, change, "cancelled", actor, now)

    def pause(self, team_id: int, backfill_id: str, *, actor: str, now: datetime) -> Backfill | None:
        """Pause one that is pending or running; None if the team has no such backfill. Raises `WrongState`."""
        return self._change(team_id, backfill_id, ("pending", "running"), {"state": "paused"}, "paused", actor, now)

    def resume(self, team_id: int, backfill_id: str, *, actor: str, now: datetime) -> Backfill | None:
        """Let a paused one go on; None if the team has no such backfill. Raises `WrongState`."""
        change = {"state": "pending", "lease_owner": None, "lease_expires_at": None}
        return self._change(team_id, backfill_id, ("paused",), change, "resumed", actor, now)

    def claim(self, owner: str, *, now: datetime, lease_s: float) -> Backfill | None:
        """Take the oldest backfill that waits for a runner, with a lease of `lease_s`; None if none waits."""
        column = backfills.c
        waiting = sa.or_(column.state == "pending", sa.and_(column.state == "running", column.lease_expires_at <= now))
        oldest = sa.select(column.id).where(waiting).order_by(column.created_at, column.id).limit(1)
        change = (
            sa.update(backfills)
            # The condition stands again on the row itself: of two runners that saw it waiting, one changes it.
            .where(column.id == oldest.scalar_subquery(), waiting)
            .values(
                state="running",
                lease_owner=owner,
                lease_expires_at=now + timedelta(seconds=lease_s),
                started_at=sa.func.coalesce(column.started_at, now),
                updated_at=now,
            )
            .returning(backfills)
        )
        with self._database.write() as connection:
            row = connection.execute(change).mappings().one_or_none()
        return None if row is None else _read(row)

    def report(
        self,
        backfill_id: str,
        owner: str,
        progress: Progress,
        *,
        cursor: str,
        now: datetime,
        lease_s: float,
        error: str = "",
    ) -> BackfillState | None:
        """Store how far the runner is and extend its lease. Return the state: anything but `running` means stop.

        None: the lease belongs to another runner, and nothing was stored. After a pause or a cancellation
        progress and cursor are still stored, so that the last counts are right and a resumed one goes on there,
        and the lease is given up.

        Args:
            error: why the backfill does not advance; gone with the next report without one.
        """
        running = backfills.c.state == "running"
        return self._store_place(
            backfill_id,
            owner,
            **dataclasses.asdict(progress),
            cursor=cursor,
            error=error,
            lease_owner=sa.case((running, owner), else_=None),
            lease_expires_at=sa.case((running, now + timedelta(seconds=lease_s)), else_=None),
            updated_at=now,
        )

    def give_back(
        self, backfill_id: str, owner: str, progress: Progress, *, cursor: str, now: datetime
    ) -> BackfillState | None:
        """Store how far the runner came and let another go on at once. Return the state; None as `report` does."""
        state = backfills.c.state
        return self._store_place(
            backfill_id,
            owner,
            **dataclasses.asdict(progress),
            cursor=cursor,
            state=sa.case((state == "running", "pending"), else_=state),
            lease_owner=None,
            lease_expires_at=None,
            updated_at=now,
        )

    def _store_place(self, backfill_id: str, owner: str, **values: Any) -> BackfillState | None:
        column = backfills.c
        change = (
            sa.update(backfills)
            .where(column.id == backfill_id, column.lease_owner == owner)
            .values(**values)
            .returning(column.state)
        )
        with self._database.write() as connection:
            state: BackfillState | None = connection.execute(change).scalar_one_or_none()
        return state

    def finish(
        self, backfill_id: str, owner: str, state: Literal["completed", "failed"], *, error: str = "", now: datetime
    ) -> bool:
        """End a running backfill. Return False if it is not this owner's, or no longer running."""
        column = backfills.c
        change = (
            sa.update(backfills)
            .where(column.id == backfill_id, column.lease_owner == owner, column.state == "running")
            .values(state=state, error=error, finished_at=now, updated_at=now, lease_owner=None, lease_expires_at=None)
        )
        with self._database.write() as connection:
            return connection.execute(change).rowcount == 1

    def _change(
        self,
        team_id: int,
        backfill_id: str,
        allowed: tuple[BackfillState, ...],
        values: Mapping[str, Any],
        action: str,
        actor: str,
        now: datetime,
    ) -> Backfill | None:
        column = backfills.c
        mine = (column.team_id == team_id, column.id == backfill_id)
        change = sa.update(backfills).where(*mine, column.state.in_(allowed)).values(**values, updated_at=now)
        with self._database.write() as connection:
            changed = connection.execute(change).rowcount == 1
            row = connection.execute(sa.select(backfills).where(*mine)).mappings().one_or_none()
            if row is None:
                return None
            backfill = _read(row)
            if not changed:
                raise WrongState(backfill.state)
            _audit(connection, backfill, actor, action, now)
        return backfill


def cancel_open(connection: Connection, evaluation_id: str, *, actor: str | None, now: datetime) -> None:
    """Cancel the evaluation's backfill that is not finished, if there is one."""
    change = (
        sa.update(backfills)
        .where(backfills.c.evaluation_id == evaluation_id, backfills.c.state.in_(OPEN_STATES))
        .values(state="cancelled", finished_at=now, updated_at=now)
        .returning(backfills)
    )
    for row in connection.execute(change).mappings().all():
        _audit(connection, _read(row), actor, "cancelled", now)


def _audit(connection: Connection, backfill: Backfill, actor: str | None, action: str, now: datetime) -> None:
    changes: dict[str, list[Any]] = {"state": [None, backfill.state]}
    if action == "created":
        changes["window_start"] = [None, backfill.window_start.isoformat()]
        changes["window_end"] = [None, backfill.window_end.isoformat()]
        changes["rerun_existing"] = [None, backfill.rerun_existing]
    record(
        connection, team_id=backfill.team_id, actor=actor, action=action, object_type="backfill",
        object_id=backfill.id, changes=changes, at=now,
    )  # fmt: skip


def _read(row: sa.RowMapping) -> Backfill:
    progress = Progress(**{name: row[name] for name in Progress.__dataclass_fields__})
    own = {name: row[name] for name in Backfill.__dataclass_fields__ if name != "progress"}
    return Backfill(**own, progress=progress)
