"""Meters of steps, memory and depth, and the error for values that are nested too deeply."""

from __future__ import annotations

from typing import Protocol

from evaluators.hog.runtime.errors import HogDepthExceeded, HogMemoryExceeded, HogStepsExceeded

MAX_NESTING = 400
"""Levels of containers within containers that are compared, copied or shown."""


class Meter(Protocol):
    """The meter that a walk over a value is charged to: the `Context` of a run, or an `Allowance` outside of one.

    A value that is reached along several ways is walked several times, so that forty arrays that each hold the
    one before twice are a trillion: every walk charges each container that it comes to.
    """

    def step(self, count: int) -> None:
        """Charge work that is about to be done. Raises a HogRuntimeError when it is too much."""

    def charge(self, n_bytes: int) -> None:
        """Charge memory that is about to be allocated. Raises a HogRuntimeError when it is too much."""


class Allowance:
    """A fixed allowance, for walks over the value that a run gave."""

    def __init__(self, *, steps: int = 2_000_000, memory_bytes: int = 64 * 1024 * 1024) -> None:
        self._steps, self._steps_left = steps, steps
        self._bytes, self._bytes_left = memory_bytes, memory_bytes

    def step(self, count: int) -> None:
        """HogStepsExceeded when the steps are used up."""
        self._steps_left -= count
        if self._steps_left < 0:
            raise HogStepsExceeded(self._steps)

    def charge(self, n_bytes: int) -> None:
        """HogMemoryExceeded when the bytes are used up."""
        self._bytes_left -= n_bytes
        if self._bytes_left < 0:
            raise HogMemoryExceeded(self._bytes)


def too_deep() -> HogDepthExceeded:
    """Return the error for a value that is nested more than `MAX_NESTING` levels deep."""
    return HogDepthExceeded(f"Value is nested more than {MAX_NESTING} levels deep")
