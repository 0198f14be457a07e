"""Label queues with their items, and who looks at which item."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import UtcDateTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    json = sa.JSON(none_as_null=True)
    op.create_table(
        "label_queues",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("question", sa.Integer, nullable=False),
        sa.Column("evaluation_version", sa.Integer, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("window_start", UtcDateTime),
        sa.Column("window_end", UtcDateTime),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("labellers_per_item", sa.Integer, nullable=False),
        sa.Column("overlap", sa.Float, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("reveal", sa.Boolean, nullable=False),
        sa.Column("strata", json, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_label_queues"),
    )
    op.create_index("ix_label_queues_team", "label_queues", ["team_id", "deleted", "created_at", "id"])
    op.create_index("ix_label_queues_evaluation", "label_queues", ["team_id", "evaluation_id", "created_at"])
    op.create_table(
        "label_queue_items",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("queue_id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("result_id", sa.String(36), nullable=False),
        sa.Column("target_event_id", sa.String(200), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("stratum", sa.String(16), nullable=False),
        sa.Column("inclusion_probability", sa.Float),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.Column("answers", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="pk_label_queue_items"),
        sa.ForeignKeyConstraint(["queue_id"], ["label_queues.id"], name="fk_label_queue_items_queue_id"),
        sa.UniqueConstraint("queue_id", "position", name="uq_label_queue_items_position"),
        sa.UniqueConstraint("queue_id", "result_id", name="uq_label_queue_items_result"),
    )
    target = ["team_id", "evaluation_id", "target_event_id"]
    op.create_index("ix_label_queue_items_target", "label_queue_items", target)
    op.create_table(
        "label_leases",
        sa.Column("item_id", sa.String(36), nullable=False),
        sa.Column("labeller", sa.String(254), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("target_event_id", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("revealed_at", UtcDateTime),
        sa.PrimaryKeyConstraint("item_id", "labeller", name="pk_label_leases"),
        sa.ForeignKeyConstraint(["item_id"], ["label_queue_items.id"], name="fk_label_leases_item_id"),
    )
    op.create_index("ix_label_leases_target", "label_leases", ["team_id", "target_event_id", "labeller"])
