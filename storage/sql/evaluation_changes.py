"""Evaluations as rows: their tables, and the changes that take part in a transaction of the caller.

EvaluationNotFound              the team has no such evaluation
EvaluationExists                the id is taken

`storage.sql.evaluations` has the repository, whose methods are transactions of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    RowMapping,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from config.definition_limits import check_count, check_draft
from config.definitions import Evaluation, EvaluationDraft, EvaluationStatus, StatusReason, load_stored, to_raw
from config.outputs import question_of
from config.settings.sections import Definitions
from storage.sql.audit import difference, record
from storage.sql.backfills import cancel_open
from storage.sql.engine import StoreError
from storage.sql.evaluation_queries import canonical_id
from storage.sql.revision import bump
from storage.sql.tables import UtcDateTime, json_column, metadata

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
    json_column("evaluation_config"),
    Column("output_type", String(16), nullable=False),
    json_column("output_config"),
    json_column("conditions"),
    json_column("model_configuration", nullable=True),
    json_column("budget", nullable=True),
    Column("sampling_cohort", String(16), nullable=False),
    Column("cache_verdicts", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    Column("fingerprint", String(64), nullable=False),
    Column("question", Integer, nullable=False, server_default="1"),
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
    Column("question", Integer, nullable=False, server_default="1"),
    json_column("definition"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(200)),
)
"""The definition that each version judged with. Rows are never changed and never deleted."""

AUDITED = "evaluation"


class EvaluationNotFound(StoreError):
    """No such evaluation of this team."""


class EvaluationExists(StoreError):
    """An evaluation with this id exists, of this team or another."""


def get_evaluation(
    connection: Connection, team_id: int, evaluation_id: str, *, include_deleted: bool = False
) -> Evaluation:
    """Return one evaluation within a transaction; see `Evaluations.get`."""
    row = (
        connection.execute(
            select(evaluations).where(evaluations.c.team_id == team_id, evaluations.c.id == canonical_id(evaluation_id))
        )
        .mappings()
        .one_or_none()
    )
    if row is None or (row["deleted"] and not include_deleted):
        raise EvaluationNotFound(f"team {team_id} has no evaluation {evaluation_id}")
    return from_row(row)


def create_evaluation(
    connection: Connection,
    team_id: int,
    draft: EvaluationDraft,
    limits: Definitions,
    *,
    actor: str | None,
    now: datetime,
    evaluation_id: str | None = None,
    origin: Literal["api", "file"] = "api",
) -> Evaluation:
    """Store a new evaluation within a transaction that holds the lock; see `Evaluations.create`."""
    check_draft(draft, limits)
    _check_room(connection, team_id, limits)
    evaluation = Evaluation.model_construct(
        **{name: getattr(draft, name) for name in EvaluationDraft.model_fields},
        id=evaluation_id or str(uuid.uuid4()),
        team_id=team_id,
        version=1,
        revision=bump(connection, team_id),
        fingerprint=draft.fingerprint_of_judging(),
        status="active" if draft.enabled else "paused",
        origin=origin,
        created_at=now,
        updated_at=now,
        created_by=actor,
    )
    try:
        connection.execute(insert(evaluations).values(_to_row(evaluation)))
    except IntegrityError as error:
        raise EvaluationExists(
            f"an evaluation with id {evaluation.id} exists; leave the id out, or update it"
        ) from error
    _store_version(connection, evaluation, actor)
    _audit(connection, evaluation, "created", actor, now, difference({}, to_raw(draft)))
    return evaluation


def _check_room(connection: Connection, team_id: int, limits: Definitions) -> None:
    kept = select(func.count()).select_from(evaluations).where(evaluations.c.team_id == team_id, ~evaluations.c.deleted)
    check_count(connection.execute(kept).scalar_one(), limits)


def replace_evaluation(
    connection: Connection,
    current: Evaluation,
    draft: EvaluationDraft,
    limits: Definitions,
    *,
    actor: str | None,
    now: datetime,
    new_question: bool = False,
) -> Evaluation:
    """Store what `draft` changes within a transaction that holds the lock; see `Evaluations.update`."""
    after = to_raw(draft)
    changes = difference(to_raw(current), after)
    if not changes and not new_question:
        return current
    asked = question_of(draft.output_type, draft.output_config)
    if new_question or asked != question_of(current.output_type, current.output_config):
        after["question"] = current.question + 1
        changes["question"] = [current.question, current.question + 1]
    if changes.keys() - {"enabled", "deleted", "question"}:
        # An evaluation from before a limit was lowered can still be switched off and deleted.
        check_draft(draft, limits)
    if current.deleted and not draft.deleted:
        _check_room(connection, current.team_id, limits)
    fingerprint = draft.fingerprint_of_judging()
    if fingerprint != current.fingerprint:
        after |= {"version": current.version + 1, "fingerprint": fingerprint}
    if "enabled" in changes:
        status: EvaluationStatus = "active" if draft.enabled else "paused"
        after |= {"status": status, "status_reason": None, "status_reason_detail": None}
    action = "updated"
    if "deleted" in changes:
        action = "deleted" if draft.deleted else "restored"
    evaluation = _store_changes(connection, current, after, changes, action=action, actor=actor, now=now)
    if evaluation.version != current.version:
        _store_version(connection, evaluation, actor)
    if action == "deleted":
        cancel_open(connection, evaluation.id, actor=actor, now=now)
    return evaluation


def change_status(
    connection: Connection,
    current: Evaluation,
    status: EvaluationStatus,
    *,
    actor: str | None,
    now: datetime,
    reason: StatusReason | None = None,
    detail: str | None = None,
) -> Evaluation:
    """Set a status within a transaction that holds the lock; see `Evaluations.set_status`."""
    after = {
        "enabled": status == "active",
        "status": status,
        "status_reason": None if status == "active" else reason,
        "status_reason_detail": None if status == "active" else detail,
    }
    changes = difference({name: getattr(current, name) for name in after}, after)
    if not changes:
        return current
    return _store_changes(connection, current, after, changes, action="status", actor=actor, now=now)


def _store_changes(
    connection: Connection,
    current: Evaluation,
    after: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    action: str,
    actor: str | None,
    now: datetime,
) -> Evaluation:
    row = {**after, "revision": bump(connection, current.team_id), "updated_at": now}
    connection.execute(
        update(evaluations).where(evaluations.c.team_id == current.team_id, evaluations.c.id == current.id).values(row)
    )
    evaluation = get_evaluation(connection, current.team_id, current.id, include_deleted=True)
    _audit(connection, evaluation, action, actor, now, changes)
    return evaluation


def _store_version(connection: Connection, evaluation: Evaluation, actor: str | None) -> None:
    connection.execute(
        insert(evaluation_versions).values(
            evaluation_id=evaluation.id,
            version=evaluation.version,
            team_id=evaluation.team_id,
            fingerprint=evaluation.fingerprint,
            question=evaluation.question,
            definition=evaluation.judging(),
            created_at=evaluation.updated_at,
            created_by=actor,
        )
    )


def _audit(
    connection: Connection,
    evaluation: Evaluation,
    action: str,
    actor: str | None,
    now: datetime,
    changes: Mapping[str, Any],
) -> None:
    record(
        connection,
        team_id=evaluation.team_id,
        object_type=AUDITED,
        object_id=evaluation.id,
        action=action,
        actor=actor,
        at=now,
        changes=changes,
    )


def _to_row(evaluation: Evaluation) -> dict[str, Any]:
    return {**{name: getattr(evaluation, name) for name in Evaluation.model_fields}, **to_raw(evaluation)}


def from_row(row: RowMapping) -> Evaluation:
    """Return the evaluation of one row of the table.

    Raises:
        DefinitionError: the row is none, as after an edit by hand.
    """
    return load_stored({name: row[name] for name in Evaluation.model_fields})
