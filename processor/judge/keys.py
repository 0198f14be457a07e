"""Teams' keys and budgets as the judge role knows them; it reads them whenever the store's revision has moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from config.definitions import Evaluation
from config.model_resolution import NO_KEYS, ResolvedModel, StoredKeys, TeamKeys, keys_by_team, resolve_model
from config.provider_keys import EvaluationConfig, OpenKey
from config.settings.sections import Judge as JudgeSettings
from evaluators.llm_judge.budget import BudgetScope
from storage.sql.budgets import scopes_of
from storage.sql.engine import StoreError


class KeyDirectory:
    """Keys, active keys and team budgets of all teams. Belongs to one event loop.

    Args:
        load: reads the store; called on `executor`.
    """

    def __init__(self, load: Callable[[], StoredKeys], settings: JudgeSettings, executor: Executor | None) -> None:
        self._load = load
        self._settings = settings
        self._executor = executor
        self._revision: int | None = None
        self._teams: dict[int, TeamKeys] = {}
        self._configs: dict[int, EvaluationConfig] = {}
        self._lock = asyncio.Lock()

    async def ensure(self, revision: int) -> None:
        """Load the keys if those in memory are older than `revision`. They stay if the store does not answer.

        Raises:
            StoreError: the store does not answer, and never did.
        """
        if self._revision is not None and self._revision >= revision:
            return
        async with self._lock:
            if self._revision is not None and self._revision >= revision:
                return
            try:
                stored = await asyncio.get_running_loop().run_in_executor(self._executor, self._load)
            except StoreError as error:
                if self._revision is None:
                    raise
                structlog.get_logger("gavel.judge").warning("keys_not_loaded", error=str(error))
                return
            self._configs = {config.team_id: config for config in stored.configs}
            self._teams = keys_by_team(stored, self._configs)
            self._revision = revision

    def resolve(self, definition: Evaluation, *, ignore_state: bool = False) -> ResolvedModel:
        """Return the key and model of an evaluation. Raises `Unresolved`."""
        keys = self._teams.get(definition.team_id, NO_KEYS)
        return resolve_model(definition.model_configuration, keys, self._settings, ignore_state=ignore_state)

    def key(self, team_id: int, key_id: str) -> OpenKey | None:
        """Return one key of a team."""
        return self._teams.get(team_id, NO_KEYS).keys.get(key_id)

    def scopes(self, definition: Evaluation) -> tuple[BudgetScope, ...]:
        """Return the budgets that a run of `definition` draws on."""
        return scopes_of(definition, self._configs.get(definition.team_id))
