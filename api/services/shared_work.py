"""Work that several readers ask for at the same time is done once, and its results are kept for the next ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


class SharedWork:
    """Results by key. Safe to use from many threads.

    Args:
        most: how many results are kept; those that were made first go first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, make: Callable[[], _T], is_fresh: Callable[[_T], bool] | None = None) -> _T:
        """Return the result for `key`, which `make` returns if there is none, or none that `is_fresh`.

        Threads that ask for the same key meanwhile wait. If `make` raises, the next of them tries.
        """
        with self._lock:
            if self._has(key, is_fresh):
                return cast("_T", self._kept[key])
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                if self._has(key, is_fresh):
                    return cast("_T", self._kept[key])
            try:
                made = make()
                with self._lock:
                    self._keep(key, made)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return made

    def last(self, key: Hashable) -> Any | None:
        """Return the result that is kept for `key`, fresh or not; None if there is none."""
        with self._lock:
            return self._kept.get(key)

    def _has(self, key: Hashable, is_fresh: Callable[[_T], bool] | None) -> bool:
        return key in self._kept and (is_fresh is None or is_fresh(self._kept[key]))

    def _keep(self, key: Hashable, value: object) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
