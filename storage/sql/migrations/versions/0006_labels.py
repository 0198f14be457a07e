"""Labels of people, and the question that they answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import BigId, UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for table in ("evaluations", "evaluation_versions"):
        op.add_column(table, sa.Column("question", sa.Integer, nullable=False, server_default="1"))
    _count_questions()
    op.create_table(
        "labels",
        sa.Column("seq", BigId, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("question", sa.Integer, nullable=False),
        sa.Column("target_event_id", sa.String(200), nullable=False),
        sa.Column("verdict", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("labeller", sa.String(254), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("adjudicates", sa.Boolean, nullable=False),
        sa.Column("after_reveal", sa.Boolean, nullable=False),
        sa.Column("client_id", sa.String(100)),
        sa.Column("queue_item", sa.String(36)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_labels"),
        sa.UniqueConstraint("id", name="uq_labels_id"),
        sa.UniqueConstraint("team_id", "labeller", "client_id", name="uq_labels_client_id"),
    )
    target = ["team_id", "evaluation_id", "question", "target_event_id", "seq"]
    op.create_index("ix_labels_target", "labels", target)
    op.create_index("ix_labels_team", "labels", ["team_id", "seq"])
    op.create_table(
        "label_outbox",
        sa.Column("seq", BigId, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_label_outbox"),
    )


def _count_questions() -> None:
    """Give each version the number of its question: it grows where the kind of answer, options or bounds changed."""
    connection = op.get_bind()
    version = sa.table(
        "evaluation_versions",
        *map(sa.column, ("evaluation_id", "version", "question")),
        sa.column("definition", sa.JSON),
    )
    evaluation = sa.table("evaluations", *map(sa.column, ("id", "question")))
    order = sa.select(version).order_by(version.c.evaluation_id, version.c.version)
    before, asked, question = None, None, 1
    for row in connection.execute(order).all():
        now = _asked(row.definition)
        if row.evaluation_id != before:
            question = 1
        elif now != asked:
            question += 1
        before, asked = row.evaluation_id, now
        if question > 1:
            mine = (version.c.evaluation_id == row.evaluation_id, version.c.version == row.version)
            connection.execute(sa.update(version).where(*mine).values(question=question))
            connection.execute(
                sa.update(evaluation).where(evaluation.c.id == row.evaluation_id).values(question=question)
            )


def _asked(definition: Mapping[str, Any]) -> tuple[object, ...]:
    config = definition.get("output_config") or {}
    bounds = tuple(config.get(name) for name in ("min", "max", "step", "selection_mode"))
    return definition.get("output_type"), *bounds, *(option.get("key") for option in config.get("options") or ())
