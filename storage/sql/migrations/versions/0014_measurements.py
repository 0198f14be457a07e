"""Measurements of judges: their runs and the items that are judged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    json = sa.JSON(none_as_null=True)
    op.create_table(
        "measurement_runs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("versions", json, nullable=False),
        sa.Column("repeats", sa.Integer, nullable=False),
        sa.Column("params", json, nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_measurement_runs"),
    )
    op.create_index(
        "ix_measurement_runs_evaluation", "measurement_runs", ["team_id", "evaluation_id", "kind", "created_at"]
    )
    op.create_index("ix_measurement_runs_state", "measurement_runs", ["state", "created_at"])
    op.create_table(
        "measurement_items",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("item", sa.String(300), nullable=False),
        sa.Column("event_uuid", sa.String(200), nullable=False),
        sa.Column("trace_id", sa.String(400), nullable=False),
        sa.Column("reused", json, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "position", name="pk_measurement_items"),
        sa.ForeignKeyConstraint(["run_id"], ["measurement_runs.id"], name="fk_measurement_items_run_id"),
    )
