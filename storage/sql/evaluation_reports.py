"""Evaluation reports as a team configures them: one that is not deleted per evaluation.

`covered_until` is the end of the period that the newest due run covers. `open_due` moves it together with
`next_delivery_date` by compare-and-set and inserts the run in the same transaction, so that of several processes that
see a report due, one makes its run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from storage.sql.audit import difference, record
from storage.sql.engine import Database
from storage.sql.evaluation_changes import evaluations
from storage.sql.tables import UtcDateTime, json_column, metadata

Frequency = Literal["every_n", "scheduled"]

_LIVE = "deleted = false"

evaluation_reports = sa.Table(
    "evaluation_reports",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("frequency", sa.String(16), nullable=False),
    sa.Column("rrule", sa.String(200), nullable=False, server_default=""),
    sa.Column("starts_at", UtcDateTime),
    sa.Column("timezone_name", sa.String(64), nullable=False, server_default="UTC"),
    sa.Column("next_delivery_date", UtcDateTime),
    json_column("delivery_targets"),
    sa.Column("max_sample_size", sa.Integer, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("last_delivered_at", UtcDateTime),
    sa.Column("report_prompt_guidance", sa.Text, nullable=False, server_default=""),
    sa.Column("trigger_threshold", sa.Integer, nullable=False),
    sa.Column("cooldown_minutes", sa.Integer, nullable=False),
    sa.Column("daily_run_cap", sa.Integer, nullable=False),
    sa.Column("covered_until", UtcDateTime),
    sa.Column("created_by", sa.String(200)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Index(
        "ix_evaluation_reports_one_live",
        "evaluation_id",
        unique=True,
        sqlite_where=sa.text(_LIVE),
        postgresql_where=sa.text(_LIVE),
    ),
    sa.Index("ix_evaluation_reports_team", "team_id", "deleted", "created_at", "id"),
    sa.Index("ix_evaluation_reports_due", "frequency", "enabled", "next_delivery_date"),
)

_UNSEEN = frozenset({"delivery_targets", "updated_at", "covered_until"})
"""Columns that the audit trail leaves out: targets hold secrets."""


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """One report as it is stored. `delivery_targets` are in the form of `reports.evaluation_reports.targets`."""

    id: str
    team_id: int
    evaluation_id: str
    frequency: Frequency
    rrule: str
    starts_at: datetime | None
    timezone_name: str
    next_delivery_date: datetime | None
    delivery_targets: list[dict[str, Any]]
    max_sample_size: int
    enabled: bool
    deleted: bool
    last_delivered_at: datetime | None
    report_prompt_guidance: str
    trigger_threshold: int
    cooldown_minutes: int
    daily_run_cap: int
    covered_until: datetime | None
    created_by: str | None
    created_at: datetime
    updated_at: datetime


class ReportExists(ValueError):
    """The evaluation has another report that is not deleted."""


class EvaluationReports:
    """The reports of all teams. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, team_id: int, *, limit: int, offset: int) -> tuple[list[EvaluationReport], int]:
        """Return a page of the team's reports that are not deleted, newest first, and how many there are."""
        column = evaluation_reports.c
        where = (column.team_id == team_id, column.deleted.is_(False))
        query = sa.select(evaluation_reports).where(*where).order_by(column.created_at.desc(), column.id)
        with self._database.read() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(evaluation_reports).where(*where))
            found = connection.execute(query.limit(limit).offset(offset)).mappings()
            return [_read(row) for row in found], count.scalar_one()

    def get(self, team_id: int, report_id: str, *, include_deleted: bool = False) -> EvaluationReport | None:
        """Return one report of the team, or None."""
        with self._database.read() as connection:
            return _one(connection, team_id, report_id, include_deleted=include_deleted)

    def of_evaluation(self, team_id: int, evaluation_id: str) -> EvaluationReport | None:
        """Return the report of an evaluation that is not deleted, or None."""
        column = evaluation_reports.c
        query = sa.select(evaluation_reports).where(
            column.team_id == team_id, column.evaluation_id == evaluation_id, column.deleted.is_(False)
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _read(row)

    def create(self, team_id: int, values: Mapping[str, Any], *, actor: str, now: datetime) -> EvaluationReport:
        """Make a report of `values` (all columns that a client writes, and `next_delivery_date`).

        Raises:
            ReportExists: the evaluation has one.
        """
        row = {
            "id": str(uuid4()), "team_id": team_id, "deleted": False, **values,
            "created_by": actor, "created_at": now, "updated_at": now,
        }  # fmt: skip
        try:
            with self._database.write() as connection:
                query = sa.insert(evaluation_reports).values(row).returning(evaluation_reports)
                made = _read(connection.execute(query).mappings().one())
                _audit(connection, made, "created", actor, now, difference({}, _audited(row)))
        except IntegrityError as error:
            raise ReportExists(values["evaluation_id"]) from error
        return made

    def update(
        self, team_id: int, report_id: str, values: Mapping[str, Any], *, actor: str, now: datetime
    ) -> EvaluationReport | None:
        """Change columns of a report, also of a deleted one; None if there is none.

        Raises:
            ReportExists: a deleted one is to come back while its evaluation has another.
        """
        column = evaluation_reports.c
        try:
            with self._database.write() as connection:
                before = _one(connection, team_id, report_id, include_deleted=True)
                if before is None:
                    return None
                connection.execute(
                    sa.update(evaluation_reports)
                    .where(column.team_id == team_id, column.id == report_id)
                    .values(**values, updated_at=now)
                )
                old = {name: getattr(before, name) for name in values}
                _audit(connection, before, "updated", actor, now, difference(_audited(old), _audited(values)))
                return _one(connection, team_id, report_id, include_deleted=True)
        except IntegrityError as error:
            raise ReportExists(report_id) from error

    def due(self, now: datetime, *, limit: int = 100) -> list[EvaluationReport]:
        """Return enabled scheduled reports whose time has come and whose evaluation is there, the oldest first."""
        column = evaluation_reports.c
        query = _watched("scheduled").where(column.next_delivery_date <= now)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(column.next_delivery_date, column.id).limit(limit)).mappings()
            return [_read(row) for row in found]

    def oldest_due(self, now: datetime) -> datetime | None:
        """Return since when the oldest scheduled report is due whose run nobody has opened; None if there is none."""
        column = evaluation_reports.c
        due = _watched("scheduled").where(column.next_delivery_date <= now).subquery()
        with self._database.read() as connection:
            oldest: datetime | None = connection.execute(sa.select(sa.func.min(due.c.next_delivery_date))).scalar_one()
        return oldest

    def counting(self, *, after: str = "", limit: int = 1000) -> list[EvaluationReport]:
        """Return enabled `every_n` reports whose evaluation is there, by their id, from the one after `after` on."""
        column = evaluation_reports.c
        query = _watched("every_n").where(column.id > after).order_by(column.id).limit(limit)
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query).mappings()]


def _watched(frequency: Frequency) -> sa.Select[Any]:
    column = evaluation_reports.c
    there = sa.exists().where(evaluations.c.id == column.evaluation_id, evaluations.c.deleted.is_(False))
    return sa.select(evaluation_reports).where(
        column.frequency == frequency, column.enabled.is_(True), column.deleted.is_(False), there
    )


def _one(connection: Connection, team_id: int, report_id: str, *, include_deleted: bool) -> EvaluationReport | None:
    column = evaluation_reports.c
    query = sa.select(evaluation_reports).where(column.team_id == team_id, column.id == report_id)
    if not include_deleted:
        query = query.where(column.deleted.is_(False))
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _read(row)


def _audited(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if name not in _UNSEEN
    }


def _audit(
    connection: Connection,
    report: EvaluationReport,
    action: str,
    actor: str | None,
    now: datetime,
    changes: Mapping[str, Sequence[Any]],
) -> None:
    record(
        connection, team_id=report.team_id, actor=actor, action=action, object_type="evaluation_report",
        object_id=report.id, at=now, changes=changes,
    )  # fmt: skip


def _read(row: sa.RowMapping) -> EvaluationReport:
    return EvaluationReport(**row)
