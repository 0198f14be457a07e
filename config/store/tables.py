"""Tables of the SQL store that hold definitions. Other modules of the store add theirs to `metadata`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only a column that is INTEGER to the letter."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, on a database that knows time zones and on one that does not."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC. A naive time is refused: its zone would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone; pass an aware time")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _json(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, JSON(none_as_null=True), nullable=nullable)


store_revision = Table(
    "store_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("store_id", String(36), nullable=False),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""One row. `revision` grows with every change of a definition; `store_id` tells a store from its replacement."""

team_revisions = Table(
    "team_revisions",
    metadata,
    Column("team_id", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False, index=True),
)
"""The revision at which each team's definitions changed last."""

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("team_id", BigInteger, nullable=False),
    Column("name", String(400), nullable=False),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("status_reason", String(64)),
    Column("status_reason_detail", Text),
    Column("evaluation_type", String(16), nullable=False),
    _json("evaluation_config"),
    Column("output_type", String(16), nullable=False),
    _json("output_config"),
    _json("conditions"),
    _json("model_configuration", nullable=True),
    _json("budget", nullable=True),
    Column("sampling_cohort", String(16), nullable=False),
    Column("cache_verdicts", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    Column("fingerprint", String(64), nullable=False),
    Column("origin", String(8), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("created_by", String(200)),
    CheckConstraint("(status = 'active') = enabled", name="active_means_enabled"),
    Index("ix_evaluations_team_created", "team_id", "deleted", "created_at", "id"),
    Index("ix_evaluations_team_updated", "team_id", "deleted", "updated_at", "id"),
    Index("ix_evaluations_team_name", "team_id", "deleted", "name", "id"),
)

evaluation_versions = Table(
    "evaluation_versions",
    metadata,
    Column("evaluation_id", String(36), ForeignKey("evaluations.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("team_id", BigInteger, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    _json("definition"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(200)),
)
"""What each version judged with; never changed, never deleted."""

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("team_id", BigInteger, nullable=False),
    Column("object_type", String(32), nullable=False),
    Column("object_id", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("actor", String(200)),
    Column("at", UtcDateTime, nullable=False),
    _json("changes"),
    Index("ix_audit_log_object", "team_id", "object_type", "object_id", "id"),
)
"""Who changed what when; `changes` maps a field to what it was and what it became."""
