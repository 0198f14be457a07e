"""Runs of a measurement: the version that the task names, without the cache, within a share of the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from time import monotonic
from typing import TypeVar

from config.definition_errors import DefinitionError
from config.definitions import Evaluation, load_stored, to_raw
from evaluators.llm_judge.budget import BudgetScope
from processor.events.task import Task
from storage.snapshot import CompiledEvaluation
from storage.sql.engine import Database
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.evaluations import Evaluations
from storage.sql.measurements import MeasurementRuns

T = TypeVar("T")

BUDGET_SHARE = 0.2
"""The share of an evaluation's budget that all of its measurements may spend together in a period."""
_REMEMBERED = 1_000
_STATE_FOR_S = 2.0


class MeasuredVersions:
    """Versions of evaluations, and whether runs are still wanted. Belongs to one event loop.

    Args:
        executor: for the store.
        clock: monotonic seconds.
    """

    def __init__(self, database: Database, executor: Executor | None, clock: Callable[[], float] = monotonic) -> None:
        self._evaluations = Evaluations(database)
        self._runs = MeasurementRuns(database)
        self._executor = executor
        self._clock = clock
        self._versions: dict[tuple[str, int, int], CompiledEvaluation] = {}
        self._states: dict[str, tuple[float, bool]] = {}

    async def at(self, found: CompiledEvaluation, version: int) -> CompiledEvaluation | None:
        """Return an evaluation as it is at `version`, or None if it never had one. Raises `StoreError`."""
        definition = found.definition
        if version == definition.version:
            return found
        key = (definition.id, version, definition.revision)
        if key not in self._versions:
            old = await self._call(lambda: self._load(definition, version))
            if old is None:
                return None
            if len(self._versions) >= _REMEMBERED:
                self._versions.clear()
            self._versions[key] = old
        return self._versions[key]

    async def is_wanted(self, task: Task) -> bool:
        """Return whether the task's run is still going on; known for two seconds. Raises `StoreError`."""
        known = self._states.get(task.measurement_id)
        if known is None or self._clock() - known[0] > _STATE_FOR_S:
            running = await self._call(lambda: self._runs.is_running(task.team_id, task.measurement_id))
            if len(self._states) >= _REMEMBERED:
                self._states.clear()
            known = self._states[task.measurement_id] = (self._clock(), running)
        return known[1]

    def _load(self, definition: Evaluation, version: int) -> CompiledEvaluation | None:
        try:
            versions = self._evaluations.versions(definition.team_id, definition.id)
        except EvaluationNotFound:
            return None
        for known in versions:
            if known.version == version:
                stored = {name: getattr(definition, name) for name in Evaluation.model_fields}
                changed = {"version": version, "fingerprint": known.fingerprint, "question": known.question}
                try:
                    return CompiledEvaluation(
                        load_stored({**stored, **to_raw(definition), **known.definition, **changed})
                    )
                except DefinitionError:
                    return None
        return None

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)


def measurement_scope(scope: BudgetScope, evaluation_id: str) -> BudgetScope:
    """Return the limit of measurements that follows from the budget of an evaluation."""
    return BudgetScope(
        owner=f"measurement:{evaluation_id}",
        period=scope.period,
        tokens=None if scope.tokens is None else int(scope.tokens * BUDGET_SHARE),
        micro_usd=None if scope.micro_usd is None else int(scope.micro_usd * BUDGET_SHARE),
    )
