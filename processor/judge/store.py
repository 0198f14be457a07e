"""The judge role's side of the SQL store: blocking calls, moved off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import datetime
from typing import Any

import structlog

from config.definitions import EvaluationStatus, StatusReason
from config.model_resolution import StoredKeys
from config.provider_keys import KeyState
from evaluators.llm_judge.budget import Amount, BudgetReservation, BudgetScope
from storage.sql.budgets import Budgets
from storage.sql.engine import Database, StoreError
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.evaluations import Evaluations
from storage.sql.provider_keys import ProviderKeys

_ACTOR = "gavel"
_SETTLE_TRIES = 8


class JudgeStore:
    """Blocking writes and reads; see `processor.judge.statuses.StatusStore`.

    Args:
        now: aware UTC time.
    """

    def __init__(self, database: Database, keys: ProviderKeys, now: Callable[[], datetime]) -> None:
        self._evaluations = Evaluations(database)
        self.keys = keys
        self.budgets = Budgets(database)
        self._now = now

    def load(self) -> StoredKeys:
        """Return all keys and configs."""
        return StoredKeys(self.keys.open_all(), self.keys.configs())

    def is_deleted(self, team_id: int, evaluation_id: str) -> bool:
        """See `processor.judge.definitions.DefinitionStore`."""
        return self._evaluations.is_deleted(team_id, evaluation_id)

    def set_error(self, team_id: int, evaluation_id: str, reason: StatusReason, detail: str) -> None:
        """See `StatusStore.set_error`."""
        self._set(team_id, evaluation_id, "error", only_from=("active",), reason=reason, detail=detail)

    def recover(self, team_id: int, evaluation_id: str) -> None:
        """See `StatusStore.recover`."""
        self._set(team_id, evaluation_id, "active", only_from=("error",))

    def _set(self, team_id: int, evaluation_id: str, status: EvaluationStatus, **fields: Any) -> None:
        try:
            self._evaluations.set_status(team_id, evaluation_id, status, actor=_ACTOR, now=self._now(), **fields)
        except EvaluationNotFound:
            return  # deleted meanwhile: it needs no status

    def set_key_state(self, team_id: int, key_id: str, state: KeyState, message: str | None) -> None:
        """See `StatusStore.set_key_state`."""
        self.keys.set_state(team_id, key_id, state, error_message=message, now=self._now())

    def trial_left(self, team_id: int) -> bool:
        """See `StatusStore.trial_left`."""
        return self.keys.config(team_id, now=self._now()).trial_evals_remaining > 0

    def touch(self, key_ids: Sequence[str]) -> None:
        """See `StatusStore.touch`."""
        self.keys.touch(key_ids, self._now())


class StoreBudgets:
    """`BudgetStore` over the store."""

    def __init__(self, budgets: Budgets, now: Callable[[], datetime], executor: Executor | None) -> None:
        self._budgets = budgets
        self._now = now
        self._executor = executor

    async def reserve(self, scopes: Sequence[BudgetScope], amount: Amount) -> BudgetReservation:
        """See `BudgetStore.reserve`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._budgets.reserve, scopes, amount, self._now())

    async def settle(self, reservation: BudgetReservation, used: Amount) -> None:
        """See `BudgetStore.settle`. Tries for about half a minute; then the reservation expires in the store."""
        loop = asyncio.get_running_loop()
        for attempt in range(_SETTLE_TRIES):
            try:
                await loop.run_in_executor(self._executor, self._budgets.settle, reservation, used)
            except StoreError as error:
                if attempt + 1 == _SETTLE_TRIES:
                    structlog.get_logger("gavel.judge").error(
                        "budget_not_settled", tokens=used.tokens, micro_usd=used.micro_usd, error=str(error)
                    )
                else:
                    await asyncio.sleep(min(0.25 * 2**attempt, 10.0))
            else:
                return


class StoreTrial:
    """`TrialStore` over the store."""

    def __init__(self, keys: ProviderKeys, now: Callable[[], datetime], executor: Executor | None) -> None:
        self._keys = keys
        self._now = now
        self._executor = executor

    async def take(self, team_id: int) -> bool:
        """See `TrialStore.take`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: self._keys.take_trial(team_id, now=self._now()))

    async def give_back(self, team_id: int) -> None:
        """See `TrialStore.give_back`."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._keys.give_back_trial, team_id)
