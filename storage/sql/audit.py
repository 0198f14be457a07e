"""The audit trail: who changed what, when, from what to what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Index, String, Table, insert, select

from storage.sql.engine import Database
from storage.sql.tables import BigId, UtcDateTime, json_column, metadata

OPERATOR_TEAM = 0
"""The team of what belongs to no team: operators' keys and dead letters. No team has this number, so such a key
reaches no team's objects."""
IDS_KEPT = 100
"""Ids of many objects that one entry names."""

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
    json_column("changes"),
    Index("ix_audit_log_object", "team_id", "object_type", "object_id", "id"),
)
"""The changes with their actor and time. `changes` maps a field to its old and its new value."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change.

    Attributes:
        object_type, object_id: the changed object, such as `evaluation` and its id.
        action: `created`, `updated`, `deleted`, `restored`, `status`, ...
        actor: a user, a key, `cli`, or the role that acted by itself; None if unknown.
        changes: field to `[before, after]`. Never holds a secret.
    """

    id: int
    team_id: int
    object_type: str
    object_id: str
    action: str
    actor: str | None
    at: datetime
    changes: Mapping[str, Any]


def record(
    connection: Connection,
    *,
    team_id: int,
    object_type: str,
    object_id: str,
    action: str,
    actor: str | None,
    at: datetime,
    changes: Mapping[str, Any],
) -> None:
    """Write one entry, in the transaction of the change itself."""
    connection.execute(
        insert(audit_log).values(
            team_id=team_id,
            object_type=object_type,
            object_id=object_id,
            action=action,
            actor=actor,
            at=at,
            changes=dict(changes),
        )
    )


def record_letters(
    database: Database,
    action: str,
    *,
    chosen: Mapping[str, Any],
    outcome: Mapping[str, Any],
    actor: str | None,
    at: datetime,
) -> None:
    """Write an entry about dead letters for operators, because letters belong to no team.

    Letters are in Kafka, so no transaction of the store holds the change itself.

    Args:
        action: `redriven` or `purged`.
        chosen: the filter; empty values are left out, and of `ids` the first 100 are kept.
        outcome: how many letters were changed, and the error if it ended with one.
    """
    kept = {name: value for name, value in chosen.items() if value}
    if "ids" in kept:
        kept["ids"] = sorted(kept["ids"])[:IDS_KEPT]
    changes = {name: [None, value] for name, value in {**outcome, **kept}.items()}
    with database.write() as connection:
        record(
            connection, team_id=OPERATOR_TEAM, object_type="dead_letters", object_id="", action=action, actor=actor,
            at=at, changes=changes,
        )  # fmt: skip


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that differ, each with both values."""
    names = [*after, *(name for name in before if name not in after)]
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}


def read_audit(
    connection: Connection, team_id: int, object_type: str, object_id: str, *, limit: int = 100, offset: int = 0
) -> list[AuditEntry]:
    """Return the entries of one object of the team, newest first."""
    rows = connection.execute(
        select(audit_log)
        .where(
            audit_log.c.team_id == team_id,
            audit_log.c.object_type == object_type,
            audit_log.c.object_id == object_id,
        )
        .order_by(audit_log.c.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [AuditEntry(**row._mapping) for row in rows]


def read_team_audit(
    connection: Connection, team_id: int, *, before: int | None, limit: int, without: Sequence[str] = ()
) -> list[AuditEntry]:
    """Return the entries of a team, newest first, those before the entry `before` if it is given.

    Args:
        without: types of objects whose entries are left out.
    """
    wanted = [audit_log.c.team_id == team_id, audit_log.c.object_type.not_in(without)]
    if before is not None:
        wanted.append(audit_log.c.id < before)
    rows = connection.execute(select(audit_log).where(*wanted).order_by(audit_log.c.id.desc()).limit(limit))
    return [AuditEntry(**row._mapping) for row in rows]
