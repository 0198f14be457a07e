"""Evaluations in the SQL store. Every query names the team; times and actors come in as arguments.

EvaluationConflict              it changed since the caller read it

Further errors, the tables and the changes themselves are in `storage.sql.evaluation_changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Select, bindparam, func, select

from config.definitions import Evaluation, EvaluationDraft, EvaluationStatus, StatusReason
from storage.sql.audit import AuditEntry, read_audit
from storage.sql.engine import Database, StoreError
from storage.sql.evaluation_changes import (
    AUDITED,
    EvaluationNotFound,
    change_status,
    create_evaluation,
    evaluation_versions,
    evaluations,
    from_row,
    get_evaluation,
    replace_evaluation,
)
from storage.sql.evaluation_memory import STATE, EvaluationMemory
from storage.sql.evaluation_queries import EvaluationQuery, canonical_id, ordered, selected
from storage.sql.revision import lock_definitions

_STATE_OF_ONE = select(*STATE, evaluations.c.deleted).where(
    evaluations.c.team_id == bindparam("team"), evaluations.c.id == bindparam("evaluation")
)


def _page(team_id: int, query: EvaluationQuery) -> tuple[Select[Any], Select[Any], Select[Any]]:
    """Return the statements for a page's states with the count of all, for the count, and for the states."""
    wanted = selected(evaluations, team_id, query)
    of_all = select(func.count()).select_from(evaluations).where(wanted)
    counted = select(*STATE, of_all.scalar_subquery()).where(wanted)
    states = select(*STATE).where(wanted)
    return ordered(counted, evaluations, query), of_all, ordered(states, evaluations, query)


_common_page = lru_cache(maxsize=256)(_page)
"""Making the statements takes as long as asking them. Pages with a text of the client's are not remembered."""


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


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """One page, and how many there are on all."""

    count: int
    results: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True)
class EvaluationVersion:
    """The fields of `EvaluationDraft.judging` of one version."""

    evaluation_id: str
    version: int
    fingerprint: str
    question: int
    definition: Mapping[str, Any]
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True, slots=True)
class Expected:
    """The state that a change is meant for; None: any."""

    version: int | None = None
    revision: int | None = None

    def fits(self, current: Evaluation) -> bool:
        """Return whether `current` is at this state."""
        return self.version in (None, current.version) and self.revision in (None, current.revision)


class Evaluations:
    """Repository of evaluations. Each method is one transaction; those with `connection` take part in one."""

    def __init__(self, database: Database, memory: EvaluationMemory | None = None) -> None:
        self._database = database
        self._memory = memory or EvaluationMemory()

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
            DefinitionError: it is beyond a limit of the settings section `definitions`.
        """
        with self._database.write() as connection:
            lock_definitions(connection)
            return create_evaluation(
                connection,
                team_id,
                draft,
                self._database.limits,
                actor=actor,
                now=now,
                evaluation_id=evaluation_id,
                origin=origin,
            )

    def get(self, team_id: int, evaluation_id: str, *, include_deleted: bool = False) -> Evaluation:
        """Return one evaluation.

        Raises:
            EvaluationNotFound: it is not there, another team's, or deleted and these were not asked for.
        """
        wanted = {"team": team_id, "evaluation": canonical_id(evaluation_id)}
        with self._database.read_one() as connection:
            found = connection.execute(_STATE_OF_ONE, wanted).one_or_none()
        if found is None or (found.deleted and not include_deleted):
            raise EvaluationNotFound(f"team {team_id} has no evaluation {evaluation_id}")
        if known := self._memory.known([tuple(found)[:3]]):
            return known[0]
        with self._database.read() as connection:
            current = get_evaluation(connection, team_id, evaluation_id, include_deleted=include_deleted)
        self._memory.keep(current)
        return current

    def is_deleted(self, team_id: int, evaluation_id: str) -> bool:
        """Return whether the team has this evaluation and it is deleted; False for one that was never there."""
        row = evaluations.c
        wanted = (row.team_id == team_id, row.id == canonical_id(evaluation_id))
        with self._database.read() as connection:
            return bool(connection.execute(select(row.deleted).where(*wanted)).scalar_one_or_none())

    def page(self, team_id: int, query: EvaluationQuery) -> EvaluationPage:
        """Return a page of the team's evaluations, without deleted ones. Four statements at most."""
        is_common = query.ids is None and not query.search
        counted, of_all, states = _common_page(team_id, query) if is_common else _page(team_id, query)
        with self._database.read_one() as connection:
            rows = connection.execute(counted).all()
        if rows and (known := self._memory.known([tuple(row)[:3] for row in rows])):
            return EvaluationPage(rows[0][3], tuple(known))
        with self._database.read() as connection:
            count = connection.execute(of_all).scalar_one()
            rows = connection.execute(states).all()
            return EvaluationPage(count, tuple(self._memory.read(connection, [tuple(row) for row in rows])))

    def each(self, team_id: int, *, search: str = "", enabled: bool | None = None) -> Iterator[Evaluation]:
        """Yield all of the team's evaluations by name, without deleted ones, as they are at one moment."""
        query = EvaluationQuery(search=search, enabled=enabled)
        statement = (
            select(evaluations)
            .where(selected(evaluations, team_id, query))
            .order_by(evaluations.c.name, evaluations.c.id)
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
        expected: Expected = Expected(),  # frozen
        include_deleted: bool = False,
        new_question: bool = False,
    ) -> Evaluation:
        """Replace what a person defines by what `change` makes of it.

        `change` is called with the evaluation locked, so nothing can come between. A change that alters
        judging makes a new version; one that alters nothing leaves all as it is. Enabling clears the
        reason of a pause or an error.

        Args:
            new_question: whether labels that people gave before no longer answer the same question. It follows by
                itself from a change of the output type, its options or its bounds.

        Raises:
            EvaluationNotFound: see `get`.
            EvaluationConflict: it is not at the expected version or revision.
            DefinitionError: it is beyond a limit of the settings section `definitions`.
        """
        with self._database.write() as connection:
            lock_definitions(connection)
            current = get_evaluation(connection, team_id, evaluation_id, include_deleted=include_deleted)
            if not expected.fits(current):
                raise EvaluationConflict(current)
            return replace_evaluation(
                connection,
                current,
                change(current),
                self._database.limits,
                actor=actor,
                now=now,
                new_question=new_question,
            )

    def set_status(
        self,
        team_id: int,
        evaluation_id: str,
        status: EvaluationStatus,
        *,
        actor: str | None,
        now: datetime,
        reason: StatusReason | None = None,
        detail: str | None = None,
        only_from: Collection[EvaluationStatus] | None = None,
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
            return change_status(connection, current, status, actor=actor, now=now, reason=reason, detail=detail)

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
            return read_audit(connection, team_id, AUDITED, evaluation_id, limit=limit, offset=offset)


_VERSION_FIELDS = tuple(EvaluationVersion.__dataclass_fields__)
