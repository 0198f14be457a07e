"""Memory that a burst of runs leaves behind, given back to the system.

The C library keeps freed memory for the next burst, in pieces between memory that is still in use. Without this module
a process stays about as large as it was when most runs were in flight, for as long as it lives.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from concurrent.futures import Executor

_LOOK_S = 10.0
_WHILE_BUSY = 6
"""Looks between two times that memory is given back while there is always work: it costs some milliseconds."""


def give_back() -> None:
    """Let the C library return free pages. Blocks for milliseconds, without Python's lock; nothing where it cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)


class Ebb:
    """Gives memory back once after work has ended, and now and then while there always is some.

    Args:
        taken: how many runs were taken in hand so far.
        in_hand: how many are in hand now.
    """

    def __init__(
        self, taken: Callable[[], int], in_hand: Callable[[], int], give_back: Callable[[], None] = give_back
    ) -> None:
        self._taken = taken
        self._in_hand = in_hand
        self._give_back = give_back
        self._seen = 0
        self._busy_looks = 0

    def due(self) -> bool:
        """Whether memory should be given back now. Looks once; costs nothing while there is no work."""
        taken = self._taken()
        busy = taken != self._seen or self._in_hand() > 0
        self._seen = taken
        if busy:
            self._busy_looks += 1
            return self._busy_looks % _WHILE_BUSY == 0
        worked, self._busy_looks = self._busy_looks > 0, 0
        return worked

    async def run(self, executor: Executor | None, interval_s: float = _LOOK_S) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(interval_s)
            if self.due():
                await asyncio.get_running_loop().run_in_executor(executor, self._give_back)
