"""Evaluation reports, their runs and the deliveries of each run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0012"
down_revision = "0011"

_LIVE = sa.text("deleted = false")


def upgrade() -> None:
    _reports()
    _runs()
    _deliveries()


def _reports() -> None:
    op.create_table(
        "evaluation_reports",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("frequency", sa.String(16), nullable=False),
        sa.Column("rrule", sa.String(200), nullable=False, server_default=""),
        sa.Column("starts_at", UtcDateTime),
        sa.Column("timezone_name", sa.String(64), nullable=False, server_default="UTC"),
        sa.Column("next_delivery_date", UtcDateTime),
        sa.Column("delivery_targets", sa.JSON(none_as_null=True), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_evaluation_reports"),
    )
    op.create_index(
        "ix_evaluation_reports_one_live", "evaluation_reports", ["evaluation_id"], unique=True,
        sqlite_where=_LIVE, postgresql_where=_LIVE,
    )  # fmt: skip
    op.create_index("ix_evaluation_reports_team", "evaluation_reports", ["team_id", "deleted", "created_at", "id"])
    op.create_index("ix_evaluation_reports_due", "evaluation_reports", ["frequency", "enabled", "next_delivery_date"])


def _runs() -> None:
    op.create_table(
        "evaluation_report_runs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("report_id", sa.String(36), nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("slot", sa.String(80), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.Column("content", sa.JSON(none_as_null=True)),
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
        sa.PrimaryKeyConstraint("id", name="pk_evaluation_report_runs"),
        sa.UniqueConstraint("report_id", "slot", name="uq_evaluation_report_runs_slot"),
    )
    for name, columns in (("report", ["team_id", "report_id", "created_at"]), ("open", ["finished_at", "not_before"])):
        op.create_index(f"ix_evaluation_report_runs_{name}", "evaluation_report_runs", columns)


def _deliveries() -> None:
    op.create_table(
        "evaluation_report_deliveries",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("target", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_before", UtcDateTime, nullable=False),
        sa.Column("first_attempt_at", UtcDateTime),
        sa.Column("delivered_at", UtcDateTime),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("run_id", "position", name="pk_evaluation_report_deliveries"),
    )
