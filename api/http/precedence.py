"""Requests of the API go before pages of the console that the same process makes.

Python runs one thread at a time. A page is milliseconds of work without a pause, and a request of the API that arrives
meanwhile would wait several times: whenever it has read from its store, it would have to get Python's lock back. So
pages wait for requests, and while they wait and write they stand behind the others in the operating system's queue too.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SWITCH_S = 0.0001
"""How long a thread may keep Python's lock while another one waits for it, in a process that serves the API."""
MOST_S = 0.03
"""How long one page waits for requests in all, so that a busy API slows pages down and does not stop them."""


@contextmanager
def standing_back() -> Iterator[None]:
    """Let the operating system prefer other threads to this one meanwhile, where it can (Linux).

    A page's thread that wakes would take the core from the thread that woke it, and keep it for its slice of about
    3 ms, in which that one cannot even ask for Python's lock. Threads of `SCHED_BATCH` do not. Threads that are started
    meanwhile would be of that class for ever, so start none.
    """
    changed = False
    with suppress(OSError, AttributeError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:  # an operator's choice of another class stands
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            changed = True
    try:
        yield
    finally:
        if changed:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class PageTurn:
    """One page's work. Call it between small pieces of the work."""

    def __init__(self, quiet: threading.Event, most_s: float) -> None:
        self._quiet = quiet
        self._left_s = most_s

    def __call__(self) -> None:
        """Wait while the API has requests in progress, but not longer than the page may over all of its calls."""
        if self._quiet.is_set() or self._left_s <= 0:
            return
        began = time.monotonic()
        with standing_back():
            self._quiet.wait(self._left_s)
        self._left_s -= time.monotonic() - began


class Precedence:
    """Knows whether the API has requests in progress, and lets one page at a time write its HTML.

    Args:
        most_s: how long one page waits for requests in all.
    """

    def __init__(self, most_s: float = MOST_S) -> None:
        self._most_s = most_s
        self._running = 0
        self._quiet = threading.Event()
        self._quiet.set()
        self._writing = threading.Lock()
        self._of_thread = threading.local()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request of the API; only the thread of the event loop calls this."""
        self._running += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._quiet.set()

    @contextmanager
    def page(self) -> Iterator[None]:
        """Make a page on this thread: whatever calls `give_way` here meanwhile waits for requests."""
        self._of_thread.turn = PageTurn(self._quiet, self._most_s)
        try:
            yield
        finally:
            del self._of_thread.turn

    def give_way(self) -> None:
        """Let requests go first if this thread makes a page.

        Call it where the work can pause, and where the thread holds nothing that a request waits for.
        """
        turn = getattr(self._of_thread, "turn", None)
        if turn is not None:
            turn()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait until no other page writes its HTML, and stand back until the end of the block."""
        with standing_back(), self._writing:
            yield
