"""Verdicts that are used again: for the same definition and the same text, within a time to live.

Identical calls in flight share one: the first makes it, the others wait for its outcome.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

from evaluators.llm_judge.transcript import Transcript
from evaluators.verdict import Verdict

T = TypeVar("T")


def cache_key(team_id: int, fingerprint: str, judged: Transcript, *, model: str, address: str, sample: int = 0) -> str:
    """Return the key of a verdict: whose definition judged what, by which model where, in which of several answers.

    The text is the rendered one, in full: what a prompt leaves out is part of it all the same.
    """
    digest = hashlib.sha256()
    for part in (
        str(team_id),
        fingerprint,
        address,
        model,
        str(sample),
        "in",
        *judged.messages,
        "out",
        judged.output,
        "tools",
        *judged.tools,
    ):
        raw = part.encode("utf-8", "replace")
        digest.update(len(raw).to_bytes(8) + raw)
    return digest.hexdigest()


class VerdictCache(Protocol):
    """Keeps verdicts. Skips are never kept."""

    async def get(self, key: str) -> Verdict | None:
        """Return the verdict, or None if there is none that is fresh."""

    async def put(self, key: str, verdict: Verdict) -> None:
        """Keep a verdict."""


class MemoryCache:
    """The least recently used verdicts of one process.

    Args:
        ttl_s: seconds that a verdict is fresh; 0 keeps none.
        clock: monotonic seconds.
    """

    def __init__(self, entries: int, ttl_s: float, clock: Callable[[], float]) -> None:
        self._entries = entries
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Verdict]] = OrderedDict()

    async def get(self, key: str) -> Verdict | None:
        """See `VerdictCache.get`."""
        found = self._known.get(key)
        if found is None:
            return None
        if self._clock() - found[0] >= self._ttl_s:
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return found[1]

    async def put(self, key: str, verdict: Verdict) -> None:
        """See `VerdictCache.put`."""
        if self._ttl_s <= 0:
            return
        self._known[key] = (self._clock(), verdict)
        self._known.move_to_end(key)
        while len(self._known) > self._entries:
            self._known.popitem(last=False)


class InFlight(Generic[T]):
    """Calls in flight, each known by a key."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, asyncio.Future[T]] = {}

    async def share(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return what `make` gives and whether another caller made it.

        If the caller that makes it is cancelled, one of those that wait makes it instead.
        """
        while (call := self._calls.get(key)) is not None:
            try:
                return await asyncio.shield(call), True
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if not call.cancelled() or (me is not None and me.cancelling()):
                    raise  # this caller was cancelled, not the one it waited for
        call = self._calls[key] = asyncio.get_running_loop().create_future()
        try:
            outcome = await make()
        except BaseException:
            # Whoever waits tries for itself: a defect must not be multiplied, nor a cancellation.
            call.cancel()
            raise
        else:
            call.set_result(outcome)
            return outcome, False
        finally:
            del self._calls[key]
