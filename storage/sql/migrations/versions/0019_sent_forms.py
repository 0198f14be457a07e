"""Forms of the console that were sent, so that none of them makes the same thing twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "console_sent_forms",
        sa.Column("mark", sa.String(64), nullable=False),
        sa.Column("sent_at", UtcDateTime, nullable=False),
        sa.Column("answer", sa.Text),
        sa.PrimaryKeyConstraint("mark", name="pk_console_sent_forms"),
    )
    op.create_index("ix_console_sent_forms_sent_at", "console_sent_forms", ["sent_at"])
