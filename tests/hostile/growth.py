"""Whether the time of something grows linearly with its input, told by ratios and never by seconds."""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time
from typing import TypeVar

FACTOR = 16
MOST = 80.0
"""How much longer an input of `FACTOR` times the size may take: linear time takes 16 times, quadratic 256 times."""

_RESOLUTION_S = 50e-6
"""The least time that counts for the small input, because less is the noise of the clock and of caches."""
_TRIES = 5
Input = TypeVar("Input")


def ratio(run: Callable[[Input], object], make: Callable[[int], Input], size: int) -> float:
    """Return how many times longer `run` takes on an input of 16 × `size` than on one of `size`.

    CPU time of this thread, best of up to five tries, so that other work on the machine, and in this process, does not
    decide: `run` must not leave its work to other threads.
    """
    small, large = make(size), make(FACTOR * size)
    best_small = best_large = float("inf")
    for _ in range(_TRIES):
        best_small = min(best_small, _once(run, small))
        best_large = min(best_large, _once(run, large))
        if best_large < MOST * max(best_small, _RESOLUTION_S):
            break
    return best_large / max(best_small, _RESOLUTION_S)


def _once(run: Callable[[Input], object], value: Input) -> float:
    start = thread_time()
    run(value)
    return thread_time() - start


def assert_linear(run: Callable[[Input], object], make: Callable[[int], Input], size: int, what: str = "") -> None:
    """Fail if the time grows faster than linearly."""
    found = ratio(run, make, size)
    assert found < MOST, f"{FACTOR} times the input took {found:.1f} times as long {what}"
