"""Budgets that a run draws on: whether they can be held at all, and the ranges of events that went over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime

from config.definitions import Evaluation
from config.model_resolution import ResolvedModel
from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.outcome import Price
from storage.sql.budgets import Budgets


class OverBudgetRuns:
    """Knows which runs are over budget before they are made, and remembers the range of their events.

    Args:
        now: aware UTC time.
        executor: for the blocking calls to the store.
    """

    def __init__(self, budgets: Budgets, price: Price, now: Callable[[], datetime], executor: Executor | None) -> None:
        self._budgets = budgets
        self._price = price
        self._now = now
        self._executor = executor

    def unpriced(self, scopes: tuple[BudgetScope, ...], resolved: ResolvedModel) -> BudgetScope | None:
        """Return a budget in USD that cannot be held, because the model has no price, or None."""
        if self._price(resolved.endpoint.provider, resolved.model, 0, 0) is not None:
            return None
        return next((scope for scope in scopes if scope.micro_usd is not None), None)

    async def remember(self, definition: Evaluation, scope: BudgetScope, event_at: datetime) -> None:
        """Add an event to the range that `gavel replay --over-budget` fills. Raises `StoreError`."""

        def note() -> None:
            self._budgets.note_skip(definition.team_id, definition.id, scope, event_at, now=self._now())

        await asyncio.get_running_loop().run_in_executor(self._executor, note)
