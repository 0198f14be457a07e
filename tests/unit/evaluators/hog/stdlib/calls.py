"""Calls of library functions as a run makes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic

from evaluators.hog.program import HOST_RECURSION
from evaluators.hog.runtime.context import Context, Limits, new_context
from evaluators.hog.runtime.values import HogFunction, Value
from evaluators.hog.stdlib import FUNCTIONS

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def context(limits: Limits | None = None, *, seed: str = "event-1") -> Context:
    """Return the state of a new run."""
    return new_context(limits or Limits(), NOW, seed, 10.0, monotonic)


def call(name: str, *args: Value, ctx: Context | None = None) -> Value:
    """Call a library function by its name in Hog."""
    function = FUNCTIONS[name]
    return function.impl(ctx or context(), *args) if function.needs_context else function.impl(*args)


def as_value(name: str) -> HogFunction:
    """Return a library function as the value that a program passes on."""
    function = FUNCTIONS[name]

    def code(ctx: Context, *args: Value) -> Value:
        return function.impl(ctx, *args) if function.needs_context else function.impl(*args)

    return HogFunction(name, function.max_args, code, closure=False, min_args=function.min_args)


@contextmanager
def room_of_a_run() -> Iterator[None]:
    """Give the host's stack the depth that a run has."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, HOST_RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
