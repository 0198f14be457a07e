"""Drift anchors: their schedules, the baselines of the test, and the runs that were counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    json = sa.JSON(none_as_null=True)
    op.create_table(
        "anchor_schedules",
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("golden_set", sa.String(36), nullable=False),
        sa.Column("golden_set_version", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("every_hours", sa.Float, nullable=False),
        sa.Column("next_at", UtcDateTime, nullable=False),
        sa.Column("run_id", sa.String(36)),
        sa.Column("run_since", UtcDateTime),
        sa.Column("counted_at", UtcDateTime),
        sa.Column("answer", sa.String(16), nullable=False, server_default="collecting"),
        sa.Column("created_by", sa.String(200)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", name="pk_anchor_schedules"),
    )
    op.create_index("ix_anchor_schedules_next", "anchor_schedules", ["enabled", "next_at"])
    op.create_table(
        "anchor_baselines",
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("golden_set", sa.String(36), nullable=False),
        sa.Column("golden_set_version", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reference", json),
        sa.Column("null_rate", sa.Float),
        sa.Column("tolerance", sa.Float),
        sa.Column("evidence", json),
        sa.Column("runs", sa.Integer, nullable=False, server_default="0"),
        sa.Column("good_at", UtcDateTime),
        sa.Column("alarm_at", UtcDateTime),
        sa.Column("agreed_before", sa.Integer),
        sa.Column("labelled_before", sa.Integer),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("ended_by", sa.String(200)),
        sa.PrimaryKeyConstraint("evaluation_id", "number", name="pk_anchor_baselines"),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["anchor_schedules.evaluation_id"], name="fk_anchor_baselines_evaluation_id"
        ),
    )
    op.create_table(
        "anchor_runs",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("baseline", sa.Integer, nullable=False),
        sa.Column("begun_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime, nullable=False),
        sa.Column("counted", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("anchors", sa.Integer, nullable=False, server_default="0"),
        sa.Column("flips", sa.Integer),
        sa.Column("to_pass", sa.Integer),
        sa.Column("to_fail", sa.Integer),
        sa.Column("agreed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("labelled", sa.Integer, nullable=False, server_default="0"),
        sa.Column("statistic", sa.Float),
        sa.PrimaryKeyConstraint("run_id", name="pk_anchor_runs"),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["anchor_schedules.evaluation_id"], name="fk_anchor_runs_evaluation_id"
        ),
    )
    op.create_index("ix_anchor_runs_evaluation", "anchor_runs", ["evaluation_id", "ended_at"])
