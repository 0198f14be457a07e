"""Bringing a team's evaluations in the store to what files say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, select

from config.definition_errors import DefinitionError
from config.definitions import Evaluation, EvaluationDraft, to_raw
from config.files import FileEvaluation
from config.settings.sections import Definitions
from storage.sql.audit import difference
from storage.sql.engine import Database
from storage.sql.evaluation_changes import (
    EvaluationExists,
    create_evaluation,
    evaluations,
    from_row,
    replace_evaluation,
)
from storage.sql.revision import lock_definitions

Action = Literal["created", "updated", "restored", "unchanged", "deleted"]


@dataclass(frozen=True, slots=True)
class Step:
    """The change to one evaluation. `changed` names the fields, and `note` is for a person."""

    action: Action
    evaluation_id: str
    name: str
    version: int
    changed: tuple[str, ...] = ()
    note: str = ""


class _DryRun(Exception):
    """Rolls the transaction back."""


def apply_definitions(
    database: Database,
    team_id: int,
    wanted: Sequence[FileEvaluation],
    *,
    actor: str,
    now: datetime,
    prune: bool = False,
    dry_run: bool = False,
) -> list[Step]:
    """Create, update and restore until the store holds `wanted`; all of it or, on an error, nothing.

    Applying the same again changes nothing. An evaluation that is in error stays so unless its
    definition changed: a file that says `enabled: true` does not undo what the judge found.

    Args:
        prune: also delete (softly) evaluations that came from files and are not in `wanted`; evaluations
            that were made over the API are never touched.
        dry_run: compute the steps with the same code, and change nothing.

    Raises:
        EvaluationExists: an id belongs to another team.
        DefinitionError: a definition is beyond a limit of the settings section `definitions`.
        StoreUnavailable: see `Database.write`.
    """
    steps: list[Step] = []
    try:
        with database.write() as connection:
            lock_definitions(connection)
            stored = _stored(connection, team_id)
            ids = [each.id_for(team_id) for each in wanted]
            for evaluation_id, each in zip(ids, wanted, strict=True):
                current = stored.get(evaluation_id)
                try:
                    if current is None:
                        steps.append(_create(connection, team_id, evaluation_id, each, database.limits, actor, now))
                    else:
                        steps.append(_update(connection, current, each.draft, database.limits, actor, now))
                except DefinitionError as error:
                    raise DefinitionError(f"{each.path}:{each.line}: {error}", code=error.code) from error
            if prune:
                kept = set(ids)
                gone = [each for key, each in stored.items() if key not in kept]
                steps.extend(
                    _delete(connection, each, database.limits, actor, now) for each in gone if _is_prunable(each)
                )
            if dry_run:
                raise _DryRun
    except _DryRun:
        pass
    return steps


def _stored(connection: Connection, team_id: int) -> dict[str, Evaluation]:
    rows = connection.execute(select(evaluations).where(evaluations.c.team_id == team_id)).mappings()
    return {row["id"]: from_row(row) for row in rows}


def _create(
    connection: Connection,
    team_id: int,
    evaluation_id: str,
    each: FileEvaluation,
    limits: Definitions,
    actor: str,
    now: datetime,
) -> Step:
    try:
        made = create_evaluation(
            connection, team_id, each.draft, limits, actor=actor, now=now, evaluation_id=evaluation_id, origin="file"
        )
    except EvaluationExists as error:
        raise EvaluationExists(
            f"{each.path}:{each.line}: id {evaluation_id} belongs to an evaluation of another team; leave the id out"
        ) from error
    return Step("created", made.id, made.name, made.version)


def _update(
    connection: Connection,
    current: Evaluation,
    draft: EvaluationDraft,
    limits: Definitions,
    actor: str,
    now: datetime,
) -> Step:
    changes = difference(to_raw(current), to_raw(draft))
    note = ""
    if list(changes) == ["enabled"] and draft.enabled and current.status == "error":
        changes = {}
        note = f"in error: {current.status_reason}; change the definition, or enable it over the API"
    if not changes:
        return Step("unchanged", current.id, current.name, current.version, note=note)
    after = replace_evaluation(connection, current, draft, limits, actor=actor, now=now)
    action: Action = "restored" if current.deleted and not after.deleted else "updated"
    return Step(action, after.id, after.name, after.version, tuple(changes))


def _is_prunable(evaluation: Evaluation) -> bool:
    return evaluation.origin == "file" and not evaluation.deleted


def _delete(connection: Connection, current: Evaluation, limits: Definitions, actor: str, now: datetime) -> Step:
    after = replace_evaluation(
        connection, current, current.draft().model_copy(update={"deleted": True}), limits, actor=actor, now=now
    )
    return Step("deleted", after.id, after.name, after.version, ("deleted",))
