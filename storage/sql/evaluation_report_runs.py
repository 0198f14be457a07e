"""Runs of evaluation reports and their deliveries: the state from which any process goes on.

    pending ──generated──▶ generated ──each target──▶ delivered | partial_failure | failed
       └── cannot be made ─────────────────────────────────────────────────────────▶ failed

- `open_due` makes the run of a due report. A slot (the due time, or the start of the period) names it, and a unique
  index holds that a report has one run per slot.
- A process calls `claim`: it gets the oldest run that is not finished, with a lease. Every later step is a change on
  the condition that the lease is still its own, so that a process that was too slow changes nothing.
- `store_content` puts the report into the run together with one delivery per target, in one transaction.
- `begin_delivery` is committed before a message leaves, and `end_delivery` after its outcome is known. A delivery that
  is found `sending` was cut off between the two; `reports.evaluation_reports.deliver` says what becomes of it.
- `finish` counts the deliveries and sets the status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from storage.sql.audit import record
from storage.sql.engine import Database
from storage.sql.evaluation_reports import EvaluationReport, evaluation_reports
from storage.sql.tables import UtcDateTime, json_column, metadata

ReportRunStatus = Literal["pending", "generated", "delivered", "partial_failure", "failed"]
Trigger = Literal["scheduled", "every_n", "manual"]
DeliveryState = Literal["waiting", "sending", "delivered", "failed"]

evaluation_report_runs = sa.Table(
    "evaluation_report_runs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("report_id", sa.String(36), nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("trigger", sa.String(16), nullable=False),
    sa.Column("slot", sa.String(80), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    json_column("content", nullable=True),
    sa.Column("period_start", UtcDateTime, nullable=False),
    sa.Column("period_end", UtcDateTime, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", UtcDateTime, nullable=False),
    sa.Column("lease_owner", sa.String(200)),
    sa.Column("lease_expires_at", UtcDateTime),
    sa.Column("created_by", sa.String(200)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("generated_at", UtcDateTime),
    sa.Column("emitted_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.UniqueConstraint("report_id", "slot", name="uq_evaluation_report_runs_slot"),
    sa.Index("ix_evaluation_report_runs_report", "team_id", "report_id", "created_at"),
    sa.Index("ix_evaluation_report_runs_open", "finished_at", "not_before"),
)

evaluation_report_deliveries = sa.Table(
    "evaluation_report_deliveries",
    metadata,
    sa.Column("run_id", sa.String(36), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    json_column("target"),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", UtcDateTime, nullable=False),
    sa.Column("first_attempt_at", UtcDateTime),
    sa.Column("delivered_at", UtcDateTime),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
)


@dataclass(frozen=True, slots=True)
class TargetDelivery:
    """The delivery of one run to one target, which is in its stored form."""

    run_id: str
    position: int
    target: dict[str, Any]
    state: DeliveryState
    attempts: int
    not_before: datetime
    first_attempt_at: datetime | None
    delivered_at: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class ReportRun:
    """One run as it is stored. `content` is None until the report is made."""

    id: str
    team_id: int
    report_id: str
    evaluation_id: str
    trigger: Trigger
    slot: str
    status: ReportRunStatus
    error: str
    content: dict[str, Any] | None
    period_start: datetime
    period_end: datetime
    attempts: int
    not_before: datetime
    lease_owner: str | None
    lease_expires_at: datetime | None
    created_by: str | None
    created_at: datetime
    generated_at: datetime | None
    emitted_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Opening:
    """A run to be made: why, for which slot, and over which period."""

    trigger: Trigger
    slot: str
    period_start: datetime
    period_end: datetime
    not_before: datetime
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Runs that are not finished, and since when the oldest one waits for a process; None if none does."""

    open: int
    oldest: datetime | None


class ReportRuns:
    """The runs of all teams. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_due(
        self, report: EvaluationReport, opening: Opening, *, next_delivery_date: datetime | None, now: datetime
    ) -> ReportRun | None:
        """Make the run of a due report and move the report on; None if another process did, or it was changed."""
        column = evaluation_reports.c
        change = (
            sa.update(evaluation_reports)
            .where(
                column.id == report.id,
                column.enabled.is_(True),
                column.deleted.is_(False),
                column.next_delivery_date.is_not_distinct_from(report.next_delivery_date),
                column.covered_until.is_not_distinct_from(report.covered_until),
            )
            .values(next_delivery_date=next_delivery_date, covered_until=opening.period_end)
        )
        try:
            with self._database.write() as connection:
                if connection.execute(change).rowcount == 0:
                    return None
                return _insert(connection, report, opening, now)
        except IntegrityError:
            return None

    def open_manual(self, report: EvaluationReport, opening: Opening, *, now: datetime) -> ReportRun:
        """Make a run that somebody asked for, or return the manual run of this report that is not finished."""
        column = evaluation_report_runs.c
        unfinished = sa.select(evaluation_report_runs).where(
            column.report_id == report.id, column.trigger == "manual", column.finished_at.is_(None)
        )
        with self._database.write() as connection:
            row = connection.execute(unfinished.limit(1)).mappings().one_or_none()
            if row is not None:
                return _read(row)
            run = _insert(connection, report, opening, now)
            record(
                connection, team_id=report.team_id, object_type="evaluation_report", object_id=report.id, action="run",
                actor=opening.actor, at=now, changes={"run": [None, run.id]},
            )  # fmt: skip
            return run

    def get(self, team_id: int, run_id: str) -> ReportRun | None:
        """Return one run of the team, or None."""
        column = evaluation_report_runs.c
        query = sa.select(evaluation_report_runs).where(column.team_id == team_id, column.id == run_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _read(row)

    def page(self, team_id: int, report_id: str, *, limit: int, offset: int) -> tuple[list[ReportRun], int]:
        """Return a page of a report's runs, newest first, and how many there are."""
        column = evaluation_report_runs.c
        where = (column.team_id == team_id, column.report_id == report_id)
        query = sa.select(evaluation_report_runs).where(*where).order_by(column.created_at.desc(), column.id)
        with self._database.read() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(evaluation_report_runs).where(*where))
            found = connection.execute(query.limit(limit).offset(offset)).mappings()
            return [_read(row) for row in found], count.scalar_one()

    def newest(self, team_id: int, statuses: Sequence[ReportRunStatus], *, limit: int) -> list[ReportRun]:
        """Return the newest runs of a team that have one of these statuses, or any if none is given."""
        column = evaluation_report_runs.c
        query = sa.select(evaluation_report_runs).where(column.team_id == team_id)
        if statuses:
            query = query.where(column.status.in_(statuses))
        with self._database.read() as connection:
            found = connection.execute(query.order_by(column.created_at.desc(), column.id).limit(limit)).mappings()
            return [_read(row) for row in found]

    def deliveries(self, run_ids: Sequence[str]) -> dict[str, list[TargetDelivery]]:
        """Return the deliveries of runs by the run's id, in the order of their targets."""
        column = evaluation_report_deliveries.c
        query = sa.select(evaluation_report_deliveries).where(column.run_id.in_(run_ids))
        found: dict[str, list[TargetDelivery]] = {run_id: [] for run_id in run_ids}
        with self._database.read() as connection:
            for row in connection.execute(query.order_by(column.run_id, column.position)).mappings():
                found[row["run_id"]].append(TargetDelivery(**row))
        return found

    def made_since(self, report_id: str, trigger: Trigger, since: datetime) -> list[datetime]:
        """Return when runs of one trigger were made from `since` on, oldest first."""
        column = evaluation_report_runs.c
        query = sa.select(column.created_at).where(
            column.report_id == report_id, column.trigger == trigger, column.created_at >= since
        )
        with self._database.read() as connection:
            return list(connection.scalars(query.order_by(column.created_at)))

    def claim(self, owner: str, *, now: datetime, lease_s: float) -> ReportRun | None:
        """Take the oldest run that is not finished and that nobody works on; None if there is none.

        A lease that is over counts as an attempt, because its process ended in the middle of the run.
        """
        column = evaluation_report_runs.c
        died = sa.case((column.lease_owner.is_(None), 0), else_=1)
        free = sa.or_(column.lease_owner.is_(None), column.lease_expires_at <= now)
        waiting = sa.and_(column.finished_at.is_(None), column.not_before <= now, free)
        oldest = sa.select(column.id).where(waiting).order_by(column.not_before, column.id).limit(1)
        change = (
            sa.update(evaluation_report_runs)
            # The condition stands again on the row itself: of two processes that saw it free, one changes it.
            .where(column.id == oldest.scalar_subquery(), waiting)
            .values(
                lease_owner=owner,
                lease_expires_at=now + timedelta(seconds=lease_s),
                attempts=column.attempts + died,
            )
            .returning(evaluation_report_runs)
        )
        with self._database.write() as connection:
            row = connection.execute(change).mappings().one_or_none()
        return None if row is None else _read(row)

    def store_content(
        self,
        run: ReportRun,
        owner: str,
        content: Mapping[str, Any],
        targets: Sequence[Mapping[str, Any]],
        now: datetime,
    ) -> bool:
        """Store the report and one delivery for each target. False if the lease was lost."""
        values = {"status": "generated", "content": dict(content), "generated_at": now, "error": ""}
        with self._database.write() as connection:
            if not _change(connection, run, owner, now, values):
                return False
            for position, target in enumerate(targets):
                connection.execute(
                    sa.insert(evaluation_report_deliveries).values(
                        run_id=run.id, position=position, target=dict(target), state="waiting", not_before=now
                    )
                )
        return True

    def note_emitted(self, run: ReportRun, owner: str, now: datetime) -> bool:
        """Note that the run's event is in the results topic. False if the lease was lost."""
        with self._database.write() as connection:
            return _change(connection, run, owner, now, {"emitted_at": now})

    def begin_delivery(self, run: ReportRun, owner: str, position: int, *, now: datetime, lease_s: float) -> bool:
        """Note that a message is about to leave, and renew the lease. False if the lease was lost."""
        column = evaluation_report_deliveries.c
        renewed = {"lease_expires_at": now + timedelta(seconds=lease_s)}
        with self._database.write() as connection:
            if not _change(connection, run, owner, now, renewed):
                return False
            connection.execute(
                sa.update(evaluation_report_deliveries)
                .where(column.run_id == run.id, column.position == position)
                .values(
                    state="sending",
                    attempts=column.attempts + 1,
                    first_attempt_at=sa.func.coalesce(column.first_attempt_at, now),
                )
            )
        return True

    def end_delivery(
        self,
        run: ReportRun,
        owner: str,
        position: int,
        state: DeliveryState,
        *,
        now: datetime,
        error: str = "",
        not_before: datetime | None = None,
    ) -> bool:
        """Note the outcome of a delivery: `delivered`, `failed`, or `waiting` for `not_before`.

        False if the lease was lost. A first delivered message sets the report's `last_delivered_at`.
        """
        column = evaluation_report_deliveries.c
        values: dict[str, Any] = {"state": state, "error": error, "not_before": not_before or now}
        if state == "delivered":
            values["delivered_at"] = now
        with self._database.write() as connection:
            if not _change(connection, run, owner, now, {}):
                return False
            connection.execute(
                sa.update(evaluation_report_deliveries)
                .where(column.run_id == run.id, column.position == position)
                .values(values)
            )
            if state == "delivered":
                mine = evaluation_reports.c.id == run.report_id
                connection.execute(sa.update(evaluation_reports).where(mine).values(last_delivered_at=now))
        return True

    def give_back(self, run: ReportRun, owner: str, *, not_before: datetime, error: str, now: datetime) -> bool:
        """Let the run wait until `not_before`, for any process. False if the lease was lost."""
        values = {
            "lease_owner": None, "lease_expires_at": None, "not_before": not_before, "error": error,
            "attempts": evaluation_report_runs.c.attempts + 1,
        }  # fmt: skip
        with self._database.write() as connection:
            return _change(connection, run, owner, now, values)

    def finish(self, run: ReportRun, owner: str, status: ReportRunStatus, *, now: datetime, error: str = "") -> bool:
        """End the run. False if the lease was lost."""
        values = {"status": status, "error": error, "finished_at": now, "lease_owner": None, "lease_expires_at": None}
        with self._database.write() as connection:
            return _change(connection, run, owner, now, values)

    def backlog(self, now: datetime) -> Backlog:
        """Return how many runs are not finished, and since when the oldest of those that nothing delays waits."""
        column = evaluation_report_runs.c
        waits = sa.case((column.not_before <= now, column.not_before), else_=None)
        query = sa.select(sa.func.count(), sa.func.min(sa.type_coerce(waits, UtcDateTime))).where(
            column.finished_at.is_(None)
        )
        with self._database.read() as connection:
            count, oldest = connection.execute(query).one()
        return Backlog(count, oldest)


def _insert(connection: Connection, report: EvaluationReport, opening: Opening, now: datetime) -> ReportRun:
    values = {
        "id": str(uuid4()), "team_id": report.team_id, "report_id": report.id, "evaluation_id": report.evaluation_id,
        "trigger": opening.trigger, "slot": opening.slot, "status": "pending", "period_start": opening.period_start,
        "period_end": opening.period_end, "not_before": opening.not_before, "created_by": opening.actor,
        "created_at": now,
    }  # fmt: skip
    query = sa.insert(evaluation_report_runs).values(values).returning(evaluation_report_runs)
    return _read(connection.execute(query).mappings().one())


def _change(connection: Connection, run: ReportRun, owner: str, now: datetime, values: Mapping[str, Any]) -> bool:
    """Change the run if the lease of `owner` holds; with no values, only look, and lock the row."""
    column = evaluation_report_runs.c
    change = (
        sa.update(evaluation_report_runs)
        .where(
            column.id == run.id,
            column.lease_owner == owner,
            column.lease_expires_at > now,
            column.finished_at.is_(None),
        )
        .values({"lease_owner": owner, **values})
    )
    return connection.execute(change).rowcount == 1


def _read(row: sa.RowMapping) -> ReportRun:
    return ReportRun(**row)
