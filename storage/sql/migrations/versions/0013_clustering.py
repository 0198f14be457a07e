"""Clustering jobs, their filters and their runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime, json_column

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "clustering_jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("analysis_level", sa.String(16), nullable=False),
        json_column("event_filters"),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("next_cluster", sa.Integer, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clustering_jobs"),
        sa.UniqueConstraint("team_id", "name", name="uq_clustering_jobs_name"),
    )
    op.create_table(
        "clustering_configs",
        sa.Column("team_id", sa.BigInteger, autoincrement=False, nullable=False),
        json_column("event_filters"),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("team_id", name="pk_clustering_configs"),
    )
    op.create_table(
        "clustering_runs",
        sa.Column("id", sa.String(36), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_clustering_runs"),
        sa.UniqueConstraint("job_id", "scheduled_on", name="uq_clustering_runs_day"),
    )
    op.create_index("ix_clustering_runs_job", "clustering_runs", ["team_id", "job_id", "created_at"])
    op.create_index("ix_clustering_runs_state", "clustering_runs", ["state", "created_at"])
