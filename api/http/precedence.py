"""Requests of the API go before pages of the console that the same process makes.

Python runs one thread at a time. A page is milliseconds of work without a pause, and a request of the API that arrives
meanwhile would wait several times: whenever it has read from its store, it would have to get Python's lock back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_S = 0.0001
"""How long a thread may keep Python's lock while another one waits for it, in a process that serves the API."""
MOST_S = 0.03
"""How long one page waits for requests in all, so that a busy API slows pages down and does not stop them."""


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
        self._quiet.wait(self._left_s)
        self._left_s -= time.monotonic() - began


class Precedence:
    """Knows whether the API has requests in progress, and lets one page work at a time.

    Args:
        most_s: how long one page waits for requests in all.
    """

    def __init__(self, most_s: float = MOST_S) -> None:
        self._most_s = most_s
        self._running = 0
        self._quiet = threading.Event()
        self._quiet.set()
        self._one = threading.Lock()

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
    def page(self) -> Iterator[PageTurn]:
        """Wait until no other page works, and give the turn of this one."""
        with self._one:
            yield PageTurn(self._quiet, self._most_s)
