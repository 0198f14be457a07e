"""Tables of the HTTP API: personal API keys, datasets, manual runs and backfills."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import BigId, UtcDateTime

revision = "0003"
down_revision = "0002"

_OPEN = "state IN ('pending', 'running', 'paused')"


def upgrade() -> None:
    _api_keys()
    _datasets()
    _dataset_items()
    _evaluation_runs()
    _backfills()


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("email", sa.String(254), nullable=False, server_default=""),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("masked", sa.String(32), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("last_used_at", UtcDateTime),
        sa.Column("revoked_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("key_hash", name="uq_api_keys_key_hash"),
    )
    op.create_index("ix_api_keys_team", "api_keys", ["team_id", "id"])


def _datasets() -> None:
    json = sa.JSON(none_as_null=True)
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("metadata", json),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    for order in ("created_at", "updated_at", "name"):
        name = f"ix_datasets_{order.removesuffix('_at')}"
        op.create_index(name, "datasets", ["team_id", "deleted", order, "id"])


def _dataset_items() -> None:
    json = sa.JSON(none_as_null=True)
    op.create_table(
        "dataset_items",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("dataset", sa.String(36), nullable=False),
        sa.Column("input", json),
        sa.Column("output", json),
        sa.Column("metadata", json),
        sa.Column("ref_trace_id", sa.String(255)),
        sa.Column("ref_timestamp", UtcDateTime),
        sa.Column("ref_source_id", sa.String(255)),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_dataset_items"),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.id"], name="fk_dataset_items_dataset"),
    )
    op.create_index("ix_dataset_items_team", "dataset_items", ["team_id", "deleted", "created_at", "id"])
    op.create_index("ix_dataset_items_dataset", "dataset_items", ["team_id", "dataset", "deleted", "created_at", "id"])


def _evaluation_runs() -> None:
    op.create_table(
        "evaluation_runs",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("workflow_id", sa.String(300), nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("evaluation_name", sa.String(400), nullable=False),
        sa.Column("target_event_id", sa.String(200), nullable=False),
        sa.Column("requested_at", UtcDateTime, nullable=False),
        sa.Column("requested_by", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_evaluation_runs"),
        sa.UniqueConstraint("team_id", "workflow_id", name="uq_evaluation_runs_workflow"),
    )
    op.create_index("ix_evaluation_runs_team", "evaluation_runs", ["team_id", "id"])
    op.create_index("ix_evaluation_runs_evaluation", "evaluation_runs", ["team_id", "evaluation_id", "id"])


def _backfills() -> None:
    counters = ("read", "matched", "sampled_out", "evaluated", "skipped", "failed")
    op.create_table(
        "backfills",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("evaluation_version", sa.Integer, nullable=False),
        sa.Column("window_start", UtcDateTime, nullable=False),
        sa.Column("window_end", UtcDateTime, nullable=False),
        sa.Column("rerun_existing", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.Column("cursor", sa.Text, nullable=False, server_default=""),
        sa.Column("total", sa.BigInteger),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in counters),
        sa.Column("lease_owner", sa.String(200)),
        sa.Column("lease_expires_at", UtcDateTime),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
        sa.Column("created_by", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_backfills"),
    )
    is_open = sa.text(_OPEN)
    op.create_index(
        "ix_backfills_one_open", "backfills", ["evaluation_id"], unique=True, sqlite_where=is_open,
        postgresql_where=is_open,
    )  # fmt: skip
    op.create_index("ix_backfills_evaluation", "backfills", ["team_id", "evaluation_id", "created_at"])
    op.create_index("ix_backfills_state", "backfills", ["state", "created_at"])
