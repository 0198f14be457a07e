"""The models that answered the calls of evaluations, and the runs of anchors that a change of them began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "served_models",
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("served_model", sa.String(100), nullable=False),
        sa.Column("system_fingerprint", sa.String(100), nullable=False),
        sa.Column("changed_at", UtcDateTime),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint(
            "evaluation_id", "model", "served_model", "system_fingerprint", name="pk_served_models"
        ),
    )
    op.create_index("ix_served_models_changed", "served_models", ["changed_at"])
    op.add_column("anchor_schedules", sa.Column("begun_at", UtcDateTime))
    op.add_column("anchor_schedules", sa.Column("hurried_at", UtcDateTime))
