"""Whether canaries go with the anchors of an evaluation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("anchor_schedules", sa.Column("canaries", sa.Boolean, nullable=False, server_default=sa.true()))
