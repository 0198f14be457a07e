"""How the store stands, for operators: evaluations that were switched off by errors, and budgets near their limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from config.definitions import Budget
from evaluators.llm_judge.budget import period_start
from storage.sql.budgets import budget_usage, evaluation_scope, team_scope
from storage.sql.engine import Database
from storage.sql.evaluation_changes import evaluations
from storage.sql.evaluation_config import evaluation_config

_LOOKED_AT = 1000
"""Budgets that are looked at, those with the largest use first."""


@dataclass(frozen=True, slots=True)
class Errored:
    """An evaluation that was switched off because it cannot work."""

    team_id: int
    evaluation_id: str
    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """The use of one budget in its current period.

    Attributes:
        owner: `evaluation:<id>` or `team:<id>`.
        share: of the limit that is nearest, with what runs in flight have reserved; 1.0 is all.
    """

    owner: str
    period: str
    share: float


def errored_evaluations(database: Database, *, limit: int = 20) -> list[Errored]:
    """Return evaluations in status `error`, the newest change first.

    Raises:
        StoreError: the store does not answer.
    """
    columns = evaluations.c
    query = (
        select(columns.team_id, columns.id, columns.name, columns.status_reason, columns.status_reason_detail)
        .where(columns.status == "error", columns.deleted.is_(False))
        .order_by(columns.updated_at.desc())
        .limit(limit)
    )
    with database.read() as connection:
        return [Errored(row[0], row[1], row[2], row[3] or "", row[4] or "") for row in connection.execute(query)]


def budget_use(database: Database, now: datetime, *, limit: int = 5) -> list[BudgetUse]:
    """Return the budgets that are nearest to their limits in the current period, the nearest first.

    Raises:
        StoreError: the store does not answer.
    """
    used = budget_usage.c
    with database.read() as connection:
        rows = connection.execute(
            select(budget_usage).order_by(used.period_start.desc(), used.used_micro_usd.desc()).limit(_LOOKED_AT)
        ).all()
        owners = {row.owner for row in rows}
        budgets = {}
        ids = [owner.removeprefix("evaluation:") for owner in owners if owner.startswith("evaluation:")]
        for row in connection.execute(select(evaluations.c.id, evaluations.c.budget).where(evaluations.c.id.in_(ids))):
            if row.budget:
                scope = evaluation_scope(row.id, Budget.model_validate(row.budget))
                budgets[scope.owner] = scope
        teams = [int(owner.removeprefix("team:")) for owner in owners if owner.startswith("team:")]
        config = evaluation_config.c
        for row in connection.execute(select(config.team_id, config.budget).where(config.team_id.in_(teams))):
            if row.budget:
                scope = team_scope(row.team_id, Budget.model_validate(row.budget))
                budgets[scope.owner] = scope
    found = []
    for row in rows:
        held = budgets.get(row.owner)
        if held is None or row.period_start != period_start(held.period, now):
            continue
        tokens, micro_usd = row.used_tokens + row.reserved_tokens, row.used_micro_usd + row.reserved_micro_usd
        shares = [tokens / held.tokens] if held.tokens else []
        shares += [micro_usd / held.micro_usd] if held.micro_usd else []
        found.append(BudgetUse(row.owner, held.period, round(max(shares, default=0.0), 4)))
    return sorted(found, key=lambda each: each.share, reverse=True)[:limit]
