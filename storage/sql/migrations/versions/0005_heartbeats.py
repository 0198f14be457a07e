"""Heartbeats, by which operators see the processes of all roles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("instance", sa.String(200), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("started", UtcDateTime, nullable=False),
        sa.Column("seen", UtcDateTime, nullable=False),
        sa.Column("assignment", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("counters", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("details", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("role", "instance", name="pk_heartbeats"),
    )
