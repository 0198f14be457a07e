"""Budgets of a team, with their use in the present period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.services.resources import Services
from config.definitions import Budget
from evaluators.llm_judge.budget import MICROS, BudgetScope
from storage.sql.budgets import Budgets, evaluation_scope, team_scope


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """The use of one budget.

    Attributes:
        subject: `team`, or the evaluation's name.
        evaluation_id: None for the team's budget.
        share: of the limit that is nearest to its end, 0 to 1 and beyond.
    """

    subject: str
    evaluation_id: str | None
    period: str
    usd: float
    usd_limit: float | None
    tokens: int
    token_limit: int | None

    @property
    def share(self) -> float:
        """How much of the limit that is nearest to its end is used, 0 to 1 and beyond."""
        shares = [self.usd / self.usd_limit] if self.usd_limit else []
        shares += [self.tokens / self.token_limit] if self.token_limit else []
        return max(shares, default=0.0)


@dataclass(frozen=True, slots=True)
class TeamSpending:
    """The team's own budget, if it has one."""

    team: BudgetStanding | None


def spending_today(services: Services, team_id: int) -> TeamSpending:
    """Return the use of the team's budget."""
    config = services.keys.config(team_id, now=services.now())
    if config.budget is None:
        return TeamSpending(None)
    budget = Budget.model_validate(config.budget)
    return TeamSpending(_spent(services, "team", None, team_scope(team_id, budget), budget))


def spending_of(services: Services, outline_id: str, name: str, raw: Mapping[str, Any]) -> BudgetStanding:
    """Return the use of an evaluation's own budget."""
    budget = Budget.model_validate(raw)
    return _spent(services, name, outline_id, evaluation_scope(outline_id, budget), budget)


def _spent(
    services: Services, subject: str, evaluation_id: str | None, scope: BudgetScope, budget: Budget
) -> BudgetStanding:
    usage = Budgets(services.database).usage(scope, services.now())
    return BudgetStanding(
        subject=subject,
        evaluation_id=evaluation_id,
        period=budget.period,
        usd=(usage.micro_usd + usage.reserved_micro_usd) / MICROS,
        usd_limit=budget.usd,
        tokens=usage.tokens + usage.reserved_tokens,
        token_limit=budget.tokens,
    )
