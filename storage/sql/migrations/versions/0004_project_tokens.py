"""Project tokens, by which the front door finds the team of an event."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import BigId, UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "project_tokens",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("masked", sa.String(32), nullable=False),
        sa.Column("events_per_s", sa.Integer, nullable=False, server_default="0"),
        sa.Column("bytes_per_s", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("origins", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("revoked_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_project_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_project_tokens_token_hash"),
    )
    op.create_index("ix_project_tokens_team", "project_tokens", ["team_id", "id"])
