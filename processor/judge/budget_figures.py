"""The budgets that are nearest to their limit, as metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from datetime import datetime

from config.definitions import Evaluation
from evaluators.llm_judge.budget import BudgetScope, Usage, period_start
from processor.metrics import Metrics
from storage.snapshot import Snapshot
from storage.sql.budgets import Budgets
from storage.sql.engine import StoreError

MAX_BUDGETS = 10
"""Budgets that have series. There may be as many budgets as evaluations."""
_EVERY_S = 10.0


class BudgetFigures:
    """Sets `gavel_budget_left_ratio` of the budgets with the least left.

    Args:
        scopes: returns the budgets that an evaluation's runs count against.
        now: aware UTC time.
    """

    def __init__(
        self,
        budgets: Budgets,
        scopes: Callable[[Evaluation], Iterable[BudgetScope]],
        metrics: Metrics,
        now: Callable[[], datetime],
    ) -> None:
        self._budgets = budgets
        self._scopes = scopes
        self._metrics = metrics
        self._now = now
        self._shown: set[tuple[str, str]] = set()

    async def run(self, snapshot: Callable[[], Snapshot | None], executor: Executor | None) -> None:
        """Set the metric again and again, until the task is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            current = snapshot()
            if current is not None:
                await loop.run_in_executor(executor, self.set, current)
            await asyncio.sleep(_EVERY_S)

    def set(self, snapshot: Snapshot) -> None:
        """Set the metric once. Reads the store; while it does not answer, the figures stay as they are."""
        now = self._now()
        found: dict[str, tuple[int, BudgetScope]] = {}
        for team in snapshot.teams.values():
            for each in team.evaluations:
                if each.definition.prompt is not None:
                    for scope in self._scopes(each.definition):
                        found[scope.owner] = (each.definition.team_id, scope)
        try:
            used = self._budgets.used(sorted({period_start(scope.period, now) for _, scope in found.values()}))
        except StoreError:
            return
        left = []
        for owner, (team_id, scope) in found.items():
            usage = used.get((owner, period_start(scope.period, now)), Usage())
            left.append((_left(scope, usage), str(team_id), owner))
        self._show(sorted(left)[:MAX_BUDGETS])

    def _show(self, nearest: list[tuple[float, str, str]]) -> None:
        for ratio, team, owner in nearest:
            self._metrics.set("gavel_budget_left_ratio", ratio, team=team, owner=owner)
        shown = {(team, owner) for _, team, owner in nearest}
        for team, owner in self._shown - shown:
            self._metrics.remove("gavel_budget_left_ratio", team=team, owner=owner)
        self._shown = shown


def _left(scope: BudgetScope, usage: Usage) -> float:
    """Return the share of a budget that is left, by its scarcer limit."""
    shares = [1.0]
    if scope.tokens is not None:
        shares.append(1 - usage.tokens / scope.tokens if scope.tokens else 0.0)
    if scope.micro_usd is not None:
        shares.append(1 - usage.micro_usd / scope.micro_usd if scope.micro_usd else 0.0)
    return max(0.0, min(shares))
