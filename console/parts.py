"""The threads on which a page makes the panels that are open in it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from starlette.responses import Response

_THREADS = 8


class Parts:
    """Makes panels on threads of their own, so that a page waits for each no longer than its deadline.

    Args:
        make: takes a visit and a page; returns the panel, or the failure in its place. It does not raise.
        patience: how many times its deadline a panel gets.
    """

    def __init__(self, make: Callable[[Any, Any], Response], patience: float) -> None:
        self._make = make
        self.patience = patience
        self._threads = ThreadPoolExecutor(_THREADS, "console-part")

    def start(self, visit: Any, page: Any) -> Future[Response]:
        """Begin to make `page` for `visit`. One that has not begun when its deadline passes can be cancelled."""
        return self._threads.submit(self._make, visit, page)
