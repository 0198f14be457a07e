"""Waits of tests for something that another thread, process or server does.

The limit only decides how long a test takes that fails, because a wait ends as soon as its condition is true. A machine
that runs four test processes on two busy cores can need 20 times as long as one that is idle, so every test has the
same patience. A wait that should end without the thing (a test that nothing happens) must be short, and is not one of
these.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 120.0
"""How many seconds a test waits at the most for something that should happen, whatever it asks to wait."""

T = TypeVar("T")


def until(condition: Callable[[], T], what: str | Callable[[], object] = "it", *, limit_s: float = PATIENCE_S) -> T:
    """Block until `condition()` is true and return its value; fail with `what` was awaited, or with what that returns.

    Give `limit_s` only if it is a promise to users, or if the work takes minutes on an idle machine.
    """
    began_s = time.monotonic()
    while True:
        looked_s = time.monotonic()
        if found := condition():
            return found
        now_s = time.monotonic()
        assert now_s - began_s < limit_s, _failure(what, limit_s)
        time.sleep(_pause_s(now_s - began_s, now_s - looked_s))


async def until_async(condition: Callable[[], T], what: str | Callable[[], object] = "it") -> T:
    """Let the loop of the caller run until `condition()` is true, as `until` does."""
    began_s = time.monotonic()
    while not (found := condition()):
        waited_s = time.monotonic() - began_s
        assert waited_s < PATIENCE_S, _failure(what, PATIENCE_S)
        await asyncio.sleep(min(0.005 + waited_s / 20, 0.5))
    return found


def _pause_s(waited_s: float, cost_s: float) -> float:
    """Return the seconds until a condition is looked at again that was not true after `waited_s` of waiting.

    Each look takes time of a core from the work that is awaited, and counts for the rate limit of an API. So a wait
    is at the most a twentieth longer than it must be, and a look leaves three quarters of a core to the work.
    """
    return min(max(0.02, waited_s / 20, 3 * cost_s), 0.5)


def _failure(what: str | Callable[[], object], limit_s: float) -> str:
    return f"not within {limit_s:g} s: {what if isinstance(what, str) else what()}"
