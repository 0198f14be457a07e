"""Measurements of a judge: which items are judged by which versions, how often, and how far the run is.

    pending ──claim──▶ running ──finish──▶ completed | incomplete | failed
       └──────────── cancel ──▶ cancelled

A runner that claims a run holds a lease, and another one goes on from `sent` when it ran out. An item that is sent
twice gives the same result id. `total` counts the judgements that are asked for: items by versions by repeats, without
those that are reused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa

from storage.sql.audit import record
from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, json_column, metadata

MeasurementKind = Literal["comparison", "measure", "consistency", "canaries", "anchors"]
MeasurementState = Literal["pending", "running", "completed", "incomplete", "failed", "cancelled"]
MeasurementEnd = Literal["completed", "incomplete", "failed"]
OPEN: tuple[MeasurementState, ...] = ("pending", "running")
MAX_ITEMS = 5_000
_ITEMS_AT_ONCE = 1_000

measurement_runs = sa.Table(
    "measurement_runs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    json_column("versions"),
    sa.Column("repeats", sa.Integer, nullable=False),
    json_column("params"),
    sa.Column("dataset", sa.String(36)),
    sa.Column("items", sa.Integer, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("reused", sa.Integer, nullable=False),
    sa.Column("sent", sa.Integer, nullable=False, server_default="0"),
    sa.Column("missing", sa.Integer, nullable=False, server_default="0"),
    sa.Column("done", sa.Integer, nullable=False, server_default="0"),
    sa.Column("skipped", sa.Integer, nullable=False, server_default="0"),
    sa.Column("cost_usd", sa.Float, nullable=False, server_default="0"),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.Column("lease_owner", sa.String(200)),
    sa.Column("lease_expires_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("created_by", sa.String(200)),
    sa.Index("ix_measurement_runs_evaluation", "team_id", "evaluation_id", "kind", "created_at"),
    sa.Index("ix_measurement_runs_state", "state", "created_at"),
    sa.Index("ix_measurement_runs_dataset", "team_id", "dataset", "created_at", "id"),
)

measurement_items = sa.Table(
    "measurement_items",
    metadata,
    sa.Column("run_id", sa.ForeignKey(measurement_runs.c.id), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("item", sa.String(300), nullable=False),
    sa.Column("event_uuid", sa.String(200), nullable=False),
    sa.Column("trace_id", sa.String(400), nullable=False),
    json_column("reused"),
)


@dataclass(frozen=True, slots=True)
class MeasuredItem:
    """One generation that a run judges.

    Attributes:
        item: `event:<uuid>`, or the key of an item of a golden set.
        reused: versions whose stored result is taken in the place of a call.
    """

    item: str
    event_uuid: str
    trace_id: str = ""
    reused: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMeasurement:
    """A run to be asked for; `MeasurementRun` explains its fields. It gets an id unless it is given one."""

    team_id: int
    evaluation_id: str
    kind: MeasurementKind
    versions: Sequence[int]
    repeats: int
    params: Mapping[str, Any]
    items: Sequence[MeasuredItem]
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementRun:
    """A run.

    Attributes:
        versions: that judge each item. repeats: how often each of them does.
        params: where the items came from, and what the run is evaluated with.
        dataset: id of the dataset that they came from; None for other runs.
        items: how many. sent: how many of them are on their way or done. missing: those whose text is gone.
        total, done, skipped: judgements. cost_usd: of those that are done.
    """

    id: str
    team_id: int
    evaluation_id: str
    kind: MeasurementKind
    state: MeasurementState
    versions: tuple[int, ...]
    repeats: int
    params: Mapping[str, Any]
    dataset: str | None
    items: int
    total: int
    reused: int
    sent: int
    missing: int
    done: int
    skipped: int
    cost_usd: float
    error: str
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    created_by: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a run is; see `MeasurementRun`."""

    sent: int
    missing: int
    done: int = 0
    skipped: int = 0
    cost_usd: float = 0.0


class MeasurementRuns:
    """The measurements of all teams. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, new: NewMeasurement, *, actor: str, now: datetime) -> MeasurementRun:
        """Ask for a run and return it."""
        items, reused = new.items, sum(len(each.reused) for each in new.items)
        values = {
            "id": new.run_id or str(uuid4()), "team_id": new.team_id, "evaluation_id": new.evaluation_id,
            "kind": new.kind, "state": "pending", "versions": list(new.versions), "repeats": new.repeats,
            "params": dict(new.params), "dataset": new.params.get("dataset"), "items": len(items),
            "total": len(items) * len(new.versions) * new.repeats - reused, "reused": reused,
            "created_at": now, "updated_at": now, "created_by": actor,
        }  # fmt: skip
        with self._database.write() as connection:
            insert = sa.insert(measurement_runs).values(values).returning(measurement_runs)
            run = _read(connection.execute(insert).mappings().one())
            rows = [
                {
                    "run_id": run.id, "position": position, "item": each.item, "event_uuid": each.event_uuid,
                    "trace_id": each.trace_id[:400], "reused": list(each.reused),
                }
                for position, each in enumerate(items)
            ]  # fmt: skip
            for start in range(0, len(rows), _ITEMS_AT_ONCE):
                connection.execute(sa.insert(measurement_items), rows[start : start + _ITEMS_AT_ONCE])
            record(
                connection, team_id=new.team_id, object_type="measurement", object_id=run.id, action="created",
                actor=actor, at=now, changes={"kind": [None, new.kind], "total": [None, run.total]},
            )  # fmt: skip
        return run

    def get(self, team_id: int, run_id: str) -> MeasurementRun | None:
        """Return one run, or None."""
        column = measurement_runs.c
        statement = sa.select(measurement_runs).where(column.team_id == team_id, column.id == run_id)
        with self._database.read() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _read(row)

    def page(
        self, team_id: int, evaluation_id: str, kinds: Sequence[MeasurementKind], *, limit: int, offset: int
    ) -> tuple[list[MeasurementRun], int]:
        """Return a page of an evaluation's runs of some kinds, newest first, and how many there are."""
        column = measurement_runs.c
        where = (column.team_id == team_id, column.evaluation_id == evaluation_id, column.kind.in_(kinds))
        order = (column.created_at.desc(), column.id)
        statement = sa.select(measurement_runs).where(*where).order_by(*order).limit(limit).offset(offset)
        count = sa.select(sa.func.count()).select_from(measurement_runs).where(*where)
        with self._database.read() as connection:
            total = connection.execute(count).scalar_one()
            return [_read(row) for row in connection.execute(statement).mappings()], total

    def of_team(self, team_id: int, *, limit: int) -> list[MeasurementRun]:
        """Return the newest measurements of all evaluations of a team."""
        column = measurement_runs.c
        statement = sa.select(measurement_runs).where(column.team_id == team_id)
        order = (column.created_at.desc(), column.id)
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(statement.order_by(*order).limit(limit)).mappings()]

    def of_dataset(
        self, team_id: int, dataset_id: str, *, limit: int, behind: tuple[datetime, str] | None = None
    ) -> list[MeasurementRun]:
        """Return the runs over a dataset, newest first, from behind a time of creation and an id on."""
        column = measurement_runs.c
        where = [column.team_id == team_id, column.dataset == dataset_id]
        if behind is not None:
            moment, run_id = behind
            where.append(sa.or_(column.created_at < moment, sa.and_(column.created_at == moment, column.id < run_id)))
        order = (column.created_at.desc(), column.id.desc())
        statement = sa.select(measurement_runs).where(*where).order_by(*order).limit(limit)
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(statement).mappings()]

    def items(self, run_id: str, *, offset: int = 0, limit: int = MAX_ITEMS) -> list[MeasuredItem]:
        """Return items of a run in their order."""
        column = measurement_items.c
        statement = sa.select(measurement_items).where(column.run_id == run_id, column.position >= offset)
        with self._database.read() as connection:
            rows = connection.execute(statement.order_by(column.position).limit(limit)).mappings().all()
        return [MeasuredItem(row["item"], row["event_uuid"], row["trace_id"], tuple(row["reused"])) for row in rows]

    def is_running(self, team_id: int, run_id: str) -> bool:
        """Return whether the run's judgements are still wanted."""
        column = measurement_runs.c
        statement = sa.select(column.state).where(column.team_id == team_id, column.id == run_id)
        with self._database.read() as connection:
            return connection.execute(statement).scalar_one_or_none() in OPEN

    def cancel(self, team_id: int, run_id: str, *, actor: str, now: datetime) -> MeasurementRun | None:
        """Cancel a run that is not finished, and return it; None if there is none. A finished one stays as it is."""
        column = measurement_runs.c
        mine = (column.team_id == team_id, column.id == run_id)
        change = sa.update(measurement_runs).where(*mine, column.state.in_(OPEN))
        with self._database.write() as connection:
            done = connection.execute(change.values(state="cancelled", finished_at=now, updated_at=now)).rowcount
            if done:
                record(
                    connection, team_id=team_id, object_type="measurement", object_id=run_id, action="cancelled",
                    actor=actor, at=now, changes={"state": [None, "cancelled"]},
                )  # fmt: skip
            row = connection.execute(sa.select(measurement_runs).where(*mine)).mappings().one_or_none()
        return None if row is None else _read(row)

    def claim(self, owner: str, *, now: datetime, lease_s: float) -> MeasurementRun | None:
        """Take the oldest run that waits for a runner, or whose runner is gone; None if there is none."""
        column = measurement_runs.c
        gone = sa.and_(column.state == "running", column.lease_expires_at <= now)
        waiting = sa.or_(column.state == "pending", gone)
        oldest = sa.select(column.id).where(waiting).order_by(column.created_at, column.id).limit(1)
        with self._database.read() as connection:
            if connection.execute(oldest).first() is None:
                return None
        change = (
            sa.update(measurement_runs)
            .where(column.id == oldest.scalar_subquery(), waiting)
            .values(
                state="running", lease_owner=owner, lease_expires_at=now + timedelta(seconds=lease_s),
                started_at=sa.func.coalesce(column.started_at, now), updated_at=now,
            )
            .returning(measurement_runs)
        )  # fmt: skip
        with self._database.write() as connection:
            row = connection.execute(change).mappings().one_or_none()
        return None if row is None else _read(row)

    def report(self, run_id: str, owner: str, standing: Standing, *, now: datetime, lease_s: float) -> bool:
        """Store how far a run is and extend its lease. False: it is cancelled, or another runner has it."""
        column = measurement_runs.c
        mine = (column.id == run_id, column.lease_owner == owner, column.state == "running")
        values = {each.name: getattr(standing, each.name) for each in fields(Standing)}
        change = sa.update(measurement_runs).where(*mine)
        expires = now + timedelta(seconds=lease_s)
        with self._database.write() as connection:
            return connection.execute(change.values(**values, lease_expires_at=expires, updated_at=now)).rowcount == 1

    def give_back(self, run_id: str, owner: str, *, now: datetime) -> None:
        """Let another runner go on with a run at once."""
        column = measurement_runs.c
        mine = (column.id == run_id, column.lease_owner == owner, column.state == "running")
        with self._database.write() as connection:
            connection.execute(sa.update(measurement_runs).where(*mine).values(lease_expires_at=now, updated_at=now))

    def finish(
        self, run_id: str, owner: str, state: MeasurementEnd, *, error: str = "",
        now: datetime,
    ) -> bool:  # fmt: skip
        """End a run. False: it is cancelled, or another runner has it."""
        column = measurement_runs.c
        mine = (column.id == run_id, column.lease_owner == owner, column.state == "running")
        values = {"state": state, "error": error, "finished_at": now, "updated_at": now, "lease_owner": None}
        with self._database.write() as connection:
            return connection.execute(sa.update(measurement_runs).where(*mine).values(**values)).rowcount == 1


def _read(row: sa.RowMapping) -> MeasurementRun:
    found = {each.name: row[each.name] for each in fields(MeasurementRun)}
    return MeasurementRun(**{**found, "versions": tuple(row["versions"])})
