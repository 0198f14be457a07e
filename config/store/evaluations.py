"""Evaluations in the SQL store. Every query names the team; times and actors come in as arguments.

EvaluationNotFound              no such evaluation of this team
EvaluationExists                the id is taken
EvaluationConflict              it changed since the caller read it
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, false, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from config.definitions import Evaluation, EvaluationDraft, Status, StatusReason, load_stored, to_raw
from config.storable import is_storable
from config.store.audit import AuditEntry, difference, read_audit, record
from config.store.backfills import cancel_open
from config.store.engine import Database, StoreError
from config.store.revision import bump, lock_definitions
from config.store.tables import evaluation_versions, evaluations

Order = Literal["created_at", "-created_at", "updated_at", "-updated_at", "name", "-name"]
_AUDITED = "evaluation"


class EvaluationNotFound(StoreError):
    """No such evaluation of this team."""


class EvaluationExists(StoreError):
    """An evaluation with this id exists, of this team or another."""


class EvaluationConflict(StoreError):
    """The evaluation changed since the caller read it: read it again and decide anew.

    Attributes:
        current: as it is now.
    """

    def __init__(self, current: Evaluation) -> None:
        self.current = current
        super().__init__(
            f"evaluation {current.id} has changed: it is at version {current.version}, revision {current.revision}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationQuery:
    """Which evaluations a page shows. `search` looks into name and description, ignoring case."""

    enabled: bool | None = None
    ids: Collection[str] | None = None
    evaluation_type: str | None = None
    search: str = ""
    order_by: tuple[Order, ...] = ("-created_at",)
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """One page, and how many there are on all."""

    count: int
    results: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True)
class EvaluationVersion:
    """What one version judged with: the fields of `EvaluationDraft.judging`."""

    evaluation_id: str
    version: int
    fingerprint: str
    definition: Mapping[str, Any]
    created_at: datetime
    created_by: str | None


class Evaluations:
    """Repository of evaluations. Each method is one transaction; those with `connection` take part in one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        team_id: int,
        draft: EvaluationDraft,
        *,
        actor: str | None,
        now: datetime,
        evaluation_id: str | None = None,
        origin: Literal["api", "file"] = "api",
    ) -> Evaluation:
        """Store a new evaluation as version 1.

        Raises:
            EvaluationExists: the id is taken.
        """
        with self._database.write() as connection:
            lock_definitions(connection)
            return create_evaluation(
                connection, team_id, draft, actor=actor, now=now, evaluation_id=evaluation_id, origin=origin
            )

    def get(self, team_id: int, evaluation_id: str, *, include_deleted: bool = False) -> Evaluation:
        """Return one evaluation.

        Raises:
            EvaluationNotFound: it is not there, another team's, or deleted and these were not asked for.
        """
        with self._database.read() as connection:
            return get_evaluation(connection, team_id, evaluation_id, include_deleted=include_deleted)

    def page(self, team_id: int, query: EvaluationQuery) -> EvaluationPage:
        """Return a page of the team's evaluations, without deleted ones. Two statements, whatever its size."""
        wanted = _conditions(team_id, query)
        with self._database.read() as connection:
            count = connection.execute(select(func.count()).select_from(evaluations).where(wanted)).scalar_one()
            rows = connection.execute(_ordered(select(evaluations).where(wanted), query)).mappings().all()
        return EvaluationPage(count, tuple(from_row(row) for row in rows))

    def each(self, team_id: int, *, search: str = "", enabled: bool | None = None) -> Iterator[Evaluation]:
        """Yield all of the team's evaluations by name, without deleted ones, as they are at one moment."""
        query = EvaluationQuery(search=search, enabled=enabled)
        statement = (
            select(evaluations).where(_conditions(team_id, query)).order_by(evaluations.c.name, evaluations.c.id)
        )
        with self._database.read() as connection:
            for row in connection.execute(statement).mappings():
                yield from_row(row)

    def update(
        self,
        team_id: int,
        evaluation_id: str,
        change: Callable[[Evaluation], EvaluationDraft],
        *,
        actor: str | None,
        now: datetime,
        expected_version: int | None = None,
        expected_revision: int | None = None,
        include_deleted: bool = False,
    ) -> Evaluation:
        """Replace what a person defines by what `change` makes of it.

        `change` is called with the evaluation locked, so nothing can come between. A change that alters
        judging makes a new version; one that alters nothing leaves all as it is. Enabling clears the
        reason of a pause or an error.

        Raises:
            EvaluationNotFound: see `get`.
            EvaluationConflict: it is not at the expected version or revision.
        """
        with self._database.write() as connection:
            lock_definitions(connection)
            current = get_evaluation(connection, team_id, evaluation_id, include_deleted=include_deleted)
            if expected_version not in (None, current.version) or expected_revision not in (None, current.revision):
                raise EvaluationConflict(current)
            return replace_evaluation(connection, current, change(current), actor=actor, now=now)

    def set_status(
        self,
        team_id: int,
        evaluation_id: str,
        status: Status,
        *,
        actor: str | None,
        now: datetime,
        reason: StatusReason | None = None,
        detail: str | None = None,
        only_from: Collection[Status] | None = None,
    ) -> Evaluation:
        """Set status, and `enabled` with it. `active` has no reason.

        Args:
            only_from: leave the evaluation as it is unless its status is one of these. A role that
                recovers an evaluation passes `("error",)`, so that it never undoes a person's pause.

        Raises:
            EvaluationNotFound: see `get`.
        """
        with self._database.write() as connection:
            lock_definitions(connection)
            current = get_evaluation(connection, team_id, evaluation_id)
            if only_from is not None and current.status not in only_from:
                return current
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

    def versions(self, team_id: int, evaluation_id: str) -> list[EvaluationVersion]:
        """Return all versions, newest first. Those of a deleted evaluation stay readable.

        Raises:
            EvaluationNotFound: it is not there or another team's.
        """
        with self._database.read() as connection:
            get_evaluation(connection, team_id, evaluation_id, include_deleted=True)
            rows = connection.execute(
                select(evaluation_versions)
                .where(evaluation_versions.c.team_id == team_id, evaluation_versions.c.evaluation_id == evaluation_id)
                .order_by(evaluation_versions.c.version.desc())
            ).mappings()
            return [EvaluationVersion(**{name: row[name] for name in _VERSION_FIELDS}) for row in rows]

    def history(self, team_id: int, evaluation_id: str, *, limit: int = 100, offset: int = 0) -> list[AuditEntry]:
        """Return the audit trail of one evaluation, newest first; empty for another team's."""
        with self._database.read() as connection:
            return read_audit(connection, team_id, _AUDITED, evaluation_id, limit=limit, offset=offset)


_VERSION_FIELDS = tuple(EvaluationVersion.__dataclass_fields__)


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
    *,
    actor: str | None,
    now: datetime,
    evaluation_id: str | None = None,
    origin: Literal["api", "file"] = "api",
) -> Evaluation:
    """Store a new evaluation within a transaction that holds the lock; see `Evaluations.create`."""
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


def replace_evaluation(
    connection: Connection, current: Evaluation, draft: EvaluationDraft, *, actor: str | None, now: datetime
) -> Evaluation:
    """Store what `draft` changes within a transaction that holds the lock; see `Evaluations.update`."""
    after = to_raw(draft)
    changes = difference(to_raw(current), after)
    if not changes:
        return current
    fingerprint = draft.fingerprint_of_judging()
    if fingerprint != current.fingerprint:
        after |= {"version": current.version + 1, "fingerprint": fingerprint}
    if "enabled" in changes:
        status: Status = "active" if draft.enabled else "paused"
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
        object_type=_AUDITED,
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


def canonical_id(identity: str) -> str | None:
    """Return a UUID as ids are stored, or None, which no id is, for a text that is no UUID."""
    try:
        return str(uuid.UUID(identity))
    except ValueError:
        return None


def _conditions(team_id: int, query: EvaluationQuery) -> ColumnElement[bool]:
    columns = evaluations.c
    wanted: list[ColumnElement[bool]] = [columns.team_id == team_id, columns.deleted.is_(False)]
    if query.enabled is not None:
        wanted.append(columns.enabled.is_(query.enabled))
    if query.ids is not None:
        wanted.append(columns.id.in_([canonical_id(identity) for identity in query.ids]))
    if query.evaluation_type is not None:
        wanted.append(columns.evaluation_type == query.evaluation_type)
    if not is_storable(query.search):
        wanted.append(false())
    elif query.search:
        wanted.append(
            or_(
                columns.name.icontains(query.search, autoescape=True),
                columns.description.icontains(query.search, autoescape=True),
            )
        )
    return and_(*wanted)


def _ordered(statement: Select[Any], query: EvaluationQuery) -> Select[Any]:
    for order in query.order_by:
        column = evaluations.c[order.removeprefix("-")]
        statement = statement.order_by(column.desc() if order.startswith("-") else column.asc())
    # The id puts equal rows in one order, so that no row is on two pages or on none.
    last_descends = query.order_by[-1].startswith("-") if query.order_by else False
    tie = evaluations.c.id.desc() if last_descends else evaluations.c.id.asc()
    return statement.order_by(tie).limit(query.limit).offset(query.offset)
