from __future__ import annotations

import asyncio

from processor.judge.memory import Ebb, give_back
from tests.virtual_time import run


class Work:
    """The numbers that a worker reports of itself."""

    def __init__(self) -> None:
        self.taken = self.in_hand = 0
        self.ebb = Ebb(lambda: self.taken, lambda: self.in_hand)


def test_memory_is_given_back_once_after_work_has_ended_and_never_again_for_nothing() -> None:
    work = Work()
    assert [work.ebb.due() for _ in range(100)] == [False] * 100
    work.taken, work.in_hand = 10_000, 3
    assert not work.ebb.due()
    work.in_hand = 0
    assert [work.ebb.due() for _ in range(100)] == [True] + [False] * 99


def test_a_burst_between_two_looks_counts_as_work() -> None:
    work = Work()
    work.taken = 5
    assert [work.ebb.due() for _ in range(4)] == [False, True, False, False]


def test_work_that_never_ends_gives_back_every_minute() -> None:
    work = Work()
    found = []
    for _ in range(18):
        work.taken += 1
        found.append(work.ebb.due())
    assert found == ([False] * 5 + [True]) * 3


def test_it_looks_every_ten_seconds() -> None:
    async def hour() -> int:
        given: list[float] = []
        loop = asyncio.get_running_loop()
        ebb = Ebb(lambda: int(loop.time() > 1000), lambda: 0, lambda: given.append(loop.time()))
        looking = loop.create_task(ebb.run(None))
        await asyncio.sleep(3600)
        looking.cancel()
        return len(given)

    assert run(hour()) == 1


def test_giving_back_does_no_harm_anywhere() -> None:
    give_back()
