"""Finds the definition that a task was made from, however far this process is behind the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Literal, Protocol

import structlog

from processor.events.task import Task
from storage.snapshot import CompiledEvaluation, Snapshot

_REMEMBERED = 10_000


class DefinitionSource(Protocol):
    """Keeps the definitions current; `storage.snapshot.SnapshotPoller` in production."""

    @property
    def current(self) -> Snapshot | None:
        """The newest definitions, or None before the first load."""

    def poll(self) -> bool:
        """Read the store now and return whether it answered. Blocks."""


class DefinitionStore(Protocol):
    """Knows of every evaluation that ever was; called on the executor. May raise `StoreError`."""

    def is_deleted(self, team_id: int, evaluation_id: str) -> bool:
        """Whether the evaluation is there and marked as deleted."""


class UnknownDefinition(Exception):
    """The definition of a task cannot be had now, and nothing says that it is gone.

    Attributes:
        cause: `store_unavailable`, `evaluation_unknown` or `evaluation_not_runnable`.
    """

    def __init__(self, cause: Literal["store_unavailable", "evaluation_unknown", "evaluation_not_runnable"]) -> None:
        super().__init__(cause.replace("_", " "))
        self.cause = cause


class TaskDefinitions:
    """Definitions of tasks. Belongs to one event loop.

    A task says at which revision of the store its definition was changed last. A snapshot that is older than this is
    refreshed before anything is decided: an evaluation that this process has never heard of is usually a new one.
    """

    def __init__(self, source: DefinitionSource, store: DefinitionStore, executor: Executor | None) -> None:
        self._source = source
        self._store = store
        self._executor = executor
        self._refreshing = asyncio.Lock()
        self._refreshes = 0
        self._answered: bool | None = None  # whether the store answered the last refresh; None until that is known
        self._unreachable = 0
        self._deleted: dict[tuple[int, str], int] = {}
        self._log = structlog.get_logger("gavel.judge")

    @property
    def current(self) -> Snapshot:
        """The newest definitions.

        Raises:
            RuntimeError: none were loaded yet; the role is not ready before that.
        """
        snapshot = self._source.current
        if snapshot is None:
            raise RuntimeError("the judge was started without definitions")
        return snapshot

    async def find(self, task: Task) -> CompiledEvaluation | None:
        """Return the definition of a task, at least as new as the task, or None if the store says that it is deleted.

        Raises:
            UnknownDefinition: the store does not answer, does not know the evaluation, or holds one that cannot run.
            StoreError: the store stopped answering at the last question.
        """
        snapshot = await self._at_least(task.revision)
        found = snapshot.find(task.team_id, task.evaluation_id)
        if found is None and task.revision == 0:  # the task is from an older release, which wrote no revision
            snapshot = await self._refreshed()
            found = snapshot.find(task.team_id, task.evaluation_id)
        if found is not None:
            return found
        if any(each.evaluation_id == task.evaluation_id for each in snapshot.broken):
            raise UnknownDefinition("evaluation_not_runnable")
        if await self._is_deleted(task, snapshot):
            return None
        raise UnknownDefinition("evaluation_unknown")

    async def _at_least(self, revision: int) -> Snapshot:
        """Return a snapshot of `revision` or later; an older one only if the store itself is not that far.

        A store that was restored from a backup counts on from an earlier revision, and its definitions are valid.
        """
        snapshot = self.current
        if snapshot.revision >= revision or revision <= self._unreachable:
            return snapshot
        snapshot = await self._refreshed()
        if snapshot.revision < revision:
            self._unreachable = max(self._unreachable, revision)
            self._log.warning("store_behind_task", task_revision=revision, store_revision=snapshot.revision)
        return snapshot

    async def _refreshed(self) -> Snapshot:
        begun = self._refreshes
        async with self._refreshing:
            # A refresh that began after this task had asked counts for it, even if it failed, unless it was cancelled.
            if self._refreshes == begun or self._answered is None:
                self._refreshes += 1
                self._answered = None
                self._answered = await self._call(self._source.poll)
            if not self._answered:
                raise UnknownDefinition("store_unavailable")
            return self.current

    async def _is_deleted(self, task: Task, snapshot: Snapshot) -> bool:
        key = (task.team_id, task.evaluation_id)
        if self._deleted.get(key) == snapshot.revision:
            return True
        deleted = await self._call(lambda: self._store.is_deleted(*key))
        if deleted:
            if len(self._deleted) >= _REMEMBERED:
                self._deleted.clear()
            self._deleted[key] = snapshot.revision
            self._log.info("tasks_of_deleted_evaluation_dropped", team_id=key[0], evaluation_id=key[1])
        return deleted

    async def _call(self, function: Callable[[], bool]) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)
