"""Golden sets with their frozen versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    json = sa.JSON(none_as_null=True)
    op.create_table(
        "golden_sets",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("question", sa.Integer, nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("sources", json, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_golden_sets"),
    )
    op.create_index("ix_golden_sets_team", "golden_sets", ["team_id", "deleted", "created_at", "id"])
    op.create_table(
        "golden_versions",
        sa.Column("golden_set_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("incomplete", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(200)),
        sa.PrimaryKeyConstraint("golden_set_id", "version", name="pk_golden_versions"),
        sa.ForeignKeyConstraint(["golden_set_id"], ["golden_sets.id"], name="fk_golden_versions_golden_set_id"),
    )
    op.create_table(
        "golden_items",
        sa.Column("golden_set_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("distinct_id", sa.String(400), nullable=False),
        sa.Column("item", json, nullable=False),
        sa.PrimaryKeyConstraint("golden_set_id", "version", "position", name="pk_golden_items"),
        sa.ForeignKeyConstraint(["golden_set_id"], ["golden_sets.id"], name="fk_golden_items_golden_set_id"),
    )
    op.create_index("ix_golden_items_person", "golden_items", ["team_id", "distinct_id"])
