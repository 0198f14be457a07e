"""Tables of LLM judges: provider keys, the evaluation config of teams, and budgets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.sql.tables import BigId, UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _provider_keys()
    _evaluation_config()
    _budgets()


def _provider_keys() -> None:
    op.create_table(
        "provider_keys",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("sealed_api_key", sa.Text, nullable=False),
        sa.Column("api_key_masked", sa.String(32), nullable=False),
        sa.Column("azure_endpoint", sa.Text),
        sa.Column("api_version", sa.String(64)),
        sa.Column("base_url", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error_message", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(200)),
        sa.Column("last_used_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_provider_keys"),
    )
    op.create_index("ix_provider_keys_team", "provider_keys", ["team_id", "created_at", "id"])


def _evaluation_config() -> None:
    op.create_table(
        "evaluation_config",
        sa.Column("team_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("trial_eval_limit", sa.Integer, nullable=False),
        sa.Column("trial_evals_used", sa.Integer, nullable=False),
        sa.Column("active_provider_key_id", sa.String(36)),
        sa.Column("budget", sa.JSON(none_as_null=True)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("team_id", name="pk_evaluation_config"),
        sa.ForeignKeyConstraint(
            ["active_provider_key_id"],
            ["provider_keys.id"],
            name="fk_evaluation_config_active_provider_key_id",
            ondelete="SET NULL",
        ),
    )


def _budgets() -> None:
    op.create_table(
        "budget_usage",
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("period_start", UtcDateTime, nullable=False),
        sa.Column("used_tokens", sa.BigInteger, nullable=False),
        sa.Column("used_micro_usd", sa.BigInteger, nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger, nullable=False),
        sa.Column("reserved_micro_usd", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "period_start", name="pk_budget_usage"),
    )
    op.create_table(
        "budget_reservations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("period_start", UtcDateTime, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("micro_usd", sa.BigInteger, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", "owner", name="pk_budget_reservations"),
    )
    op.create_index("ix_budget_reservations_owner", "budget_reservations", ["owner", "expires_at"])
    op.create_table(
        "budget_skips",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("period_start", UtcDateTime, nullable=False),
        sa.Column("first_event_at", UtcDateTime, nullable=False),
        sa.Column("last_event_at", UtcDateTime, nullable=False),
        sa.Column("runs", sa.BigInteger, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_budget_skips"),
    )
    op.create_index("uq_budget_skips_range", "budget_skips", ["evaluation_id", "owner", "period_start"], unique=True)
    op.create_index("ix_budget_skips_team", "budget_skips", ["team_id", "evaluation_id", "first_event_at"])
