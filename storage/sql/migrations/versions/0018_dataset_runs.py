"""The dataset that a measurement is over, so that the runs of a dataset are found without reading all others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("measurement_runs", sa.Column("dataset", sa.String(36)))
    op.create_index("ix_measurement_runs_dataset", "measurement_runs", ["team_id", "dataset", "created_at", "id"])
    runs = sa.table("measurement_runs", sa.column("dataset"), sa.column("params", sa.JSON))
    named = runs.c.params["dataset"].as_string()
    op.execute(sa.update(runs).where(named.is_not(None)).values(dataset=named))
