"""Sessions of the console."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "console_sessions",
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("last_seen_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("secret_hash", name="pk_console_sessions"),
    )
    op.create_table(
        "console_session_keys",
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("key_id", sa.BigInteger, nullable=False),
        sa.Column("added_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("secret_hash", "key_id", name="pk_console_session_keys"),
    )
    op.create_table(
        "console_links",
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("key_id", sa.BigInteger, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name="pk_console_links"),
    )
