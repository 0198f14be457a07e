"""Evaluations, their versions, the audit trail and the revision that processors poll."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import BigId, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    json = sa.JSON(none_as_null=True)
    store_revision = op.create_table(
        "store_revision",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("store_id", sa.String(36), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_store_revision"),
        sa.CheckConstraint("id = 1", name="ck_store_revision_one_row"),
    )
    op.bulk_insert(store_revision, [{"id": 1, "store_id": str(uuid.uuid4()), "revision": 1}])
    op.create_table(
        "team_revisions",
        sa.Column("team_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("team_id", name="pk_team_revisions"),
    )
    op.create_index("ix_team_revisions_revision", "team_revisions", ["revision"])
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("status_reason", sa.String(64)),
        sa.Column("status_reason_detail", sa.Text),
        sa.Column("evaluation_type", sa.String(16), nullable=False),
        sa.Column("evaluation_config", json, nullable=False),
        sa.Column("output_type", sa.String(16), nullable=False),
        sa.Column("output_config", json, nullable=False),
        sa.Column("conditions", json, nullable=False),
        sa.Column("model_configuration", json),
        sa.Column("budget", json),
        sa.Column("sampling_cohort", sa.String(16), nullable=False),
        sa.Column("cache_verdicts", sa.Boolean, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(8), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
        sa.CheckConstraint("(status = 'active') = enabled", name="ck_evaluations_active_means_enabled"),
    )
    for name, column in (("created", "created_at"), ("updated", "updated_at"), ("name", "name")):
        op.create_index(f"ix_evaluations_team_{name}", "evaluations", ["team_id", "deleted", column, "id"])
    op.create_index("ix_evaluations_revision", "evaluations", ["revision"])
    op.create_table(
        "evaluation_versions",
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("definition", json, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(200)),
        sa.PrimaryKeyConstraint("evaluation_id", "version", name="pk_evaluation_versions"),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluations.id"], name="fk_evaluation_versions_evaluation_id"),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("object_type", sa.String(32), nullable=False),
        sa.Column("object_id", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(200)),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("changes", json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_object", "audit_log", ["team_id", "object_type", "object_id", "id"])


def downgrade() -> None:
    for table in ("audit_log", "evaluation_versions", "evaluations", "team_revisions", "store_revision"):
        op.drop_table(table)
