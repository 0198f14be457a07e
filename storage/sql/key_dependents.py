"""Evaluations that name a provider key: which they are, and what becomes of them when the key is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from config.definitions import Evaluation, EvaluationDraft, patch_draft, to_raw
from config.provider_keys import ProviderKey
from config.settings.sections import Definitions
from config.strategies import MAX_STEPS
from storage.sql.evaluation_changes import change_status, evaluations, get_evaluation, replace_evaluation


@dataclass(frozen=True, slots=True)
class Dependent:
    """An evaluation that names a key."""

    id: str
    name: str
    enabled: bool


def dependents(connection: Connection, team_id: int, key_id: str) -> list[Dependent]:
    """Return the team's evaluations that name a key, by name, without deleted ones."""
    row = evaluations.c
    chosen = row.model_configuration
    steps = (chosen["strategy"]["steps"][position]["provider_key_id"] for position in range(MAX_STEPS))
    names_it = or_(*(place.as_string() == key_id for place in (chosen["provider_key_id"], *steps)))
    query = (
        select(row.id, row.name, row.enabled)
        .where(row.team_id == team_id, row.deleted.is_(False), names_it)
        .order_by(row.name, row.id)
    )
    return [Dependent(found.id, found.name, found.enabled) for found in connection.execute(query)]


def hand_over(
    connection: Connection,
    key: ProviderKey,
    replacement: ProviderKey | None,
    limits: Definitions,
    *,
    actor: str | None,
    now: datetime,
) -> None:
    """Let the evaluations that name `key` name its replacement, or stop those that are on.

    The transaction must hold the lock on definitions.
    """
    for dependent in dependents(connection, key.team_id, key.id):
        current = get_evaluation(connection, key.team_id, dependent.id)
        if replacement is not None:
            changed = _with_key(current, key.id, replacement.id)
            replace_evaluation(connection, current, changed, limits, actor=actor, now=now)
        elif current.enabled:
            detail = f"the provider key {key.name!r} was deleted; choose another"
            change_status(
                connection, current, "error", actor=actor, now=now, reason="provider_key_deleted", detail=detail
            )


def _with_key(current: Evaluation, old_id: str, new_id: str) -> EvaluationDraft:
    chosen = to_raw(current)["model_configuration"]
    strategy = chosen.get("strategy") or {"steps": []}
    for part in (chosen, *strategy["steps"]):
        if part.get("provider_key_id") == old_id:
            part["provider_key_id"] = new_id
    return patch_draft(current, {"model_configuration": chosen})
