"""Whether the time of something grows linearly with its input, told by ratios and never by seconds.

A machine that does other work adds time to a measurement and never takes any away: caches are cold, pages of memory
have to be fetched, and time that a host steals counts as this thread's. So the least of several tries decides, and
where it is too long the tries go on for seconds, with pauses: what really grows faster fails all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import sleep, thread_time
from typing import TypeVar

FACTOR = 16
MOST = 80.0
"""How much longer an input of `FACTOR` times the size may take: linear time takes 16 times, quadratic 256 times."""

RESOLUTION_S = 50e-6
"""The least time that counts for the small input, because less is the noise of the clock and of caches."""
PAUSES_S = (*(0.0,) * 5, *(0.05,) * 10, *(0.25,) * 10, *(1.0,) * 5)
"""The pauses before the tries, in seconds."""
Input = TypeVar("Input")


def ratio(
    run: Callable[[Input], object],
    make: Callable[[int], Input],
    size: int,
    *,
    enough: float = MOST,
    clock: Callable[[], float] = thread_time,
    resolution_s: float = RESOLUTION_S,
    pauses_s: Sequence[float] = PAUSES_S,
) -> float:
    """Return how many times longer `run` takes on an input of 16 × `size` than on one of `size`.

    The tries end as soon as the ratio is below `enough`. `clock` is the CPU time of this thread: where `run` leaves its
    work to other threads, give `time.process_time`, and a resolution that fits what else the process does.
    """
    small, large = make(size), make(FACTOR * size)
    best_small = best_large = float("inf")
    for pause_s in pauses_s:
        sleep(pause_s)
        best_small = min(best_small, _spent_s(run, small, clock))
        best_large = min(best_large, _spent_s(run, large, clock))
        if best_large < enough * max(best_small, resolution_s):
            break
    return best_large / max(best_small, resolution_s)


def least_s(run: Callable[[], object], *, enough_s: float) -> float:
    """Return the least CPU time of this thread, in seconds, that a try took: the tries end below `enough_s`."""
    best = float("inf")
    for pause_s in PAUSES_S:
        sleep(pause_s)
        best = min(best, _spent_s(lambda _: run(), None, thread_time))
        if best < enough_s:
            break
    return best


def _spent_s(run: Callable[[Input], object], value: Input, clock: Callable[[], float]) -> float:
    start = clock()
    run(value)
    return clock() - start


def assert_linear(run: Callable[[Input], object], make: Callable[[int], Input], size: int, what: str = "") -> None:
    """Fail if the time grows faster than linearly."""
    found = ratio(run, make, size)
    assert found < MOST, f"{FACTOR} times the input took {found:.1f} times as long {what}"
