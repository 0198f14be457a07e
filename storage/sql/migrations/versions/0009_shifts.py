"""Shifts of pass rates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "evaluation_shifts",
        sa.Column("id", sa.String(36), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_evaluation_shifts"),
    )
    op.create_index(
        "ix_evaluation_shifts_evaluation", "evaluation_shifts", ["team_id", "evaluation_id", "window_start"]
    )
