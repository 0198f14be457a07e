"""Work that waits long for somebody else, or computes long, kept off the threads that serve requests.

A provider that never answers holds a thread for as long as a call may take. On the threads of all requests, 60 such
calls of one team made every other team wait. Here they have threads of their own, a few per key and per team, and what
finds none in time is refused.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


class TooBusy(RuntimeError):
    """The team or the key has as much slow work in progress as it may have; try again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowLimits:
    """How much slow work there may be.

    Attributes:
        threads: at a time, of all teams.
        per_team, per_key: at a time, of one team and of one API key.
        waiting_per_team: how many may wait for a thread; further ones are refused at once.
        wait_s: seconds to wait for a thread before the work is refused.
    """

    threads: int
    per_team: int
    per_key: int
    waiting_per_team: int = 32
    wait_s: float = 10.0


@dataclass(slots=True, eq=False)
class _Place:
    team: int
    key: int
    turn: Future[None] = field(default_factory=Future)
    granted: bool = False


class SlowWork:
    """Runs slow work in bounded numbers, first come, first served among those that have room. Safe for many loops."""

    def __init__(self, limits: SlowLimits) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="api-slow")
        self._lock = threading.Lock()
        self._running: Counter[tuple[str, int]] = Counter()
        self._waiting: deque[_Place] = deque()

    async def run(self, team: int, key: int, work: Callable[[], T]) -> T:
        """Return what `work` returns, which runs in a thread of its own and may block.

        Work whose caller has gone away runs to its end, and keeps its place until then.

        Raises:
            TooBusy: there was no room within the limits.
        """
        place = _Place(team, key)
        await self._wait_for_room(place)
        try:
            done = self._threads.submit(copy_context().run, work)
        except BaseException:
            self._release(place)
            raise
        done.add_done_callback(lambda _: self._release(place))
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Let work in progress end by itself and take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _wait_for_room(self, place: _Place) -> None:
        with self._lock:
            if sum(each.team == place.team for each in self._waiting) >= self._limits.waiting_per_team:
                raise TooBusy
            self._waiting.append(place)
            self._grant()
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await asyncio.wrap_future(place.turn)
        except BaseException as error:
            with self._lock:
                if not place.granted:
                    self._waiting.remove(place)
            if place.granted:
                self._release(place)
            if isinstance(error, TimeoutError):
                raise TooBusy from error
            raise

    def _grant(self) -> None:
        """Give threads to those that wait and have room. The caller holds the lock."""
        for place in list(self._waiting):
            if self._running["all", 0] >= self._limits.threads:
                return
            if self._has_room(place) and place.turn.set_running_or_notify_cancel():
                self._waiting.remove(place)
                self._running.update(_counters(place))
                place.granted = True
                place.turn.set_result(None)

    def _has_room(self, place: _Place) -> bool:
        return (
            self._running["team", place.team] < self._limits.per_team
            and self._running["key", place.key] < self._limits.per_key
        )

    def _release(self, place: _Place) -> None:
        with self._lock:
            for counter in _counters(place):
                self._running[counter] -= 1
                if not self._running[counter]:
                    del self._running[counter]
            self._grant()


def _counters(place: _Place) -> tuple[tuple[str, int], ...]:
    return (("all", 0), ("team", place.team), ("key", place.key))
