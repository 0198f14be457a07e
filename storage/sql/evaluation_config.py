"""The row of each team's evaluation config, within a transaction: trial, active key and budget.

`storage.sql.provider_keys` has the repository, because a config refers to keys.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Integer,
    RowMapping,
    String,
    Table,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from config.provider_keys import EvaluationConfig
from storage.sql.engine import StoreError
from storage.sql.tables import UtcDateTime, metadata

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


def config_of(connection: Connection, team_id: int) -> EvaluationConfig | None:
    """Return the team's config, or None before its first use."""
    query = select(evaluation_config).where(evaluation_config.c.team_id == team_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else config_from(row)


def config_from(row: RowMapping) -> EvaluationConfig:
    """Return the config of one row."""
    return EvaluationConfig(**{name: row[name] for name in EvaluationConfig.__dataclass_fields__})


def ensured_config(connection: Connection, team_id: int, now: datetime, *, trial_eval_limit: int) -> EvaluationConfig:
    """Return the team's config, which is made if there is none. Two first uses at the same time make one row."""
    found = config_of(connection, team_id)
    if found is not None:
        return found
    row = {
        "team_id": team_id,
        "trial_eval_limit": trial_eval_limit,
        "trial_evals_used": 0,
        "created_at": now,
        "updated_at": now,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(evaluation_config).values(row).on_conflict_do_nothing())
    made = config_of(connection, team_id)
    if made is None:
        raise StoreError(f"the evaluation config of team {team_id} could not be made")
    return made


def set_config(connection: Connection, team_id: int, now: datetime, **values: Any) -> None:
    """Change fields of a config that is there."""
    connection.execute(
        update(evaluation_config).where(evaluation_config.c.team_id == team_id).values(updated_at=now, **values)
    )
