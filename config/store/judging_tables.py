"""Tables of what judges need: provider keys, each team's evaluation config, and what budgets have used."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from config.store.tables import BigId, UtcDateTime, metadata

provider_keys = Table(
    "provider_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("team_id", BigInteger, nullable=False),
    Column("provider", String(32), nullable=False),
    Column("name", String(255), nullable=False),
    Column("sealed_api_key", Text, nullable=False),
    Column("api_key_masked", String(32), nullable=False),
    Column("azure_endpoint", Text),
    Column("api_version", String(64)),
    Column("base_url", Text),
    Column("state", String(16), nullable=False),
    Column("error_message", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("created_by", String(200)),
    Column("last_used_at", UtcDateTime),
    Index("ix_provider_keys_team", "team_id", "created_at", "id"),
)
"""Keys of teams for LLM providers. The key itself is encrypted."""

evaluation_config = Table(
    "evaluation_config",
    metadata,
    Column("team_id", BigInteger, primary_key=True, autoincrement=False),
    Column("trial_eval_limit", Integer, nullable=False),
    Column("trial_evals_used", Integer, nullable=False),
    Column("active_provider_key_id", String(36), ForeignKey("provider_keys.id", ondelete="SET NULL")),
    Column("budget", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
"""One row per team, made on first use."""

budget_usage = Table(
    "budget_usage",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("period_start", UtcDateTime, primary_key=True),
    Column("used_tokens", BigInteger, nullable=False),
    Column("used_micro_usd", BigInteger, nullable=False),
    Column("reserved_tokens", BigInteger, nullable=False),
    Column("reserved_micro_usd", BigInteger, nullable=False),
)
"""What an evaluation or a team has used in one period, and what runs in flight have set aside."""

budget_reservations = Table(
    "budget_reservations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", String(64), primary_key=True),
    Column("period_start", UtcDateTime, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("micro_usd", BigInteger, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_budget_reservations_owner", "owner", "expires_at"),
)
"""Reservations of runs in flight. One that expires belonged to a process that is gone."""

budget_skips = Table(
    "budget_skips",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("team_id", BigInteger, nullable=False),
    Column("evaluation_id", String(36), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("period_start", UtcDateTime, nullable=False),
    Column("first_event_at", UtcDateTime, nullable=False),
    Column("last_event_at", UtcDateTime, nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("uq_budget_skips_range", "evaluation_id", "owner", "period_start", unique=True),
    Index("ix_budget_skips_team", "team_id", "evaluation_id", "first_event_at"),
)
"""Runs that were not made because a budget was used up, as a range of event times that a backfill can fill."""
