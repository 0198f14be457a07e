"""Claims on waiting labels, so that of several processes one sends each label."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("label_outbox", sa.Column("claimed_until", UtcDateTime))
