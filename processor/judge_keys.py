"""What the judge role knows of teams' keys and budgets: read from the store whenever its revision has moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import structlog

from config.definitions import Budget, Evaluation
from config.model_resolution import ResolvedModel, TeamKeys, resolve_model
from config.settings.sections import Judge as JudgeSettings
from config.store.engine import StoreError
from config.store.provider_keys import EvaluationConfig, OpenKey
from evaluators.llm_judge.budget import MICROS, BudgetScope

_NO_KEYS = TeamKeys()


class StoredKeys(NamedTuple):
    """All keys and configs of the store."""

    keys: Sequence[OpenKey]
    configs: Sequence[EvaluationConfig]


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
        """Be at least at `revision` of the store; keeps what it has if the store does not answer.

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
        keys = self._teams.get(definition.team_id, _NO_KEYS)
        return resolve_model(definition.model_configuration, keys, self._settings, ignore_state=ignore_state)

    def key(self, team_id: int, key_id: str) -> OpenKey | None:
        """Return one key of a team."""
        return self._teams.get(team_id, _NO_KEYS).keys.get(key_id)

    def scopes(self, definition: Evaluation) -> tuple[BudgetScope, ...]:
        """Return the budgets that a run of `definition` draws on."""
        found = []
        if definition.budget is not None:
            found.append(_scope(f"evaluation:{definition.id}", definition.budget))
        config = self._configs.get(definition.team_id)
        if config is not None and config.budget is not None:
            found.append(_scope(f"team:{definition.team_id}", Budget.model_validate(dict(config.budget))))
        return tuple(found)


def _scope(owner: str, budget: Budget) -> BudgetScope:
    micro_usd = None if budget.usd is None else int(budget.usd * MICROS)
    return BudgetScope(owner=owner, period=budget.period, tokens=budget.tokens, micro_usd=micro_usd)


def keys_by_team(stored: StoredKeys, configs: Mapping[int, EvaluationConfig]) -> dict[int, TeamKeys]:
    """Return each team's keys and its active one."""
    keys: dict[int, dict[str, Any]] = {}
    for found in stored.keys:
        keys.setdefault(found.key.team_id, {})[found.key.id] = found
    teams = {}
    for team_id in {*keys, *configs}:
        config = configs.get(team_id)
        teams[team_id] = TeamKeys(keys.get(team_id, {}), None if config is None else config.active_provider_key_id)
    return teams
