"""Notes the models that answer, as providers name them, so that anchors run when a provider changes one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta

from evaluators.llm_judge.caller import Completion
from evaluators.llm_judge.outcome import JudgeRequest
from storage.sql.engine import StoreError
from storage.sql.served_models import MOST_NAMES, Served, ServedModels

AGAIN_AFTER = timedelta(hours=6)
"""A name that goes on answering is stored again so often."""
_EVERY_S = 5.0
_MODEL_CHARS, _NAME_CHARS = 200, 100
_MAX_MODELS = 10_000
_Asked = tuple[str, str]
_Name = tuple[str, str]


class ServedNotes:
    """Collects names on the event loop, and stores new ones every few seconds. Belongs to one event loop.

    A server that answers under a new name each time costs no more than `MOST_NAMES` of them in `AGAIN_AFTER`.

    Args:
        now: aware UTC time.
        executor: for the store.
    """

    def __init__(self, store: ServedModels, now: Callable[[], datetime], executor: Executor | None) -> None:
        self._store = store
        self._now = now
        self._executor = executor
        self._noted: dict[_Asked, dict[_Name, datetime]] = {}
        self._waiting: dict[Served, None] = {}

    def note(self, request: JudgeRequest, completion: Completion) -> None:
        """Note who answered a call."""
        asked = (request.evaluation_id, f"{request.endpoint.provider}/{request.model}"[:_MODEL_CHARS])
        name = (completion.model[:_NAME_CHARS], completion.system_fingerprint[:_NAME_CHARS])
        names = self._noted.get(asked)
        noted_at = None if names is None else names.get(name)
        now = self._now()
        if noted_at is not None and now - noted_at < AGAIN_AFTER:
            return
        if names is None:
            if len(self._noted) >= _MAX_MODELS:
                self._noted.clear()
            names = self._noted[asked] = {}
        if noted_at is None and len(names) >= MOST_NAMES:
            oldest = min(names, key=names.__getitem__)
            if now - names[oldest] < AGAIN_AFTER:
                return
            del names[oldest]
        names[name] = now
        self._waiting[Served(*asked, *name)] = None

    async def run(self) -> None:
        """Store again and again, until the task is cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Store the names that wait. While the store does not answer they go on waiting."""
        waiting = list(self._waiting)[:_MAX_MODELS]
        if not waiting:
            return
        now = self._now()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, lambda: self._store.note(waiting, now=now))
        except StoreError:
            return
        for each in waiting:
            self._waiting.pop(each, None)
