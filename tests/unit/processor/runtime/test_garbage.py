from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from processor.runtime.garbage import tune_collector


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_the_collector_is_rare_but_cycles_are_still_freed_by_it() -> None:
    """A process that never collects would grow without an end on one leaking cycle."""

    class Cycle:
        itself: object = None

    tune_collector()
    assert gc.isenabled()
    assert gc.get_threshold()[0] > 10_000
    gone: list[str] = []
    one = Cycle()
    one.itself = one
    weakref.finalize(one, gone.append, "gone")
    del one
    kept: list[list[int]] = []
    while not gone and len(kept) < 1_000_000:
        kept.append([])
    assert gone, "a million containers later it was not collected"
