"""Slow work has threads of its own: a few per key and per team, in turn, and never more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from api.services.slow_work import SlowLimits, SlowWork, TooBusy
from tests.services.waiting import PATIENCE_S, until_async


def limits(**fields: float) -> SlowLimits:
    return SlowLimits(**{"threads": 4, "per_team": 3, "per_key": 2, "wait_s": 30.0} | fields)


class Held:
    """Work that runs until it is let go; `started` says who runs."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started: list[str] = []

    def work(self, name: str) -> Callable[[], str]:
        def run() -> str:
            self.started.append(name)
            assert self.go.wait(PATIENCE_S)
            return name

        return run


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.005)


def test_a_key_a_team_and_all_have_their_limits_and_nobody_elses() -> None:
    async def run() -> None:
        slow, held = SlowWork(limits()), Held()
        tasks = [
            asyncio.ensure_future(slow.run(team, key, held.work(f"{team}:{key}")))
            for team, key in [(1, 1)] * 5 + [(1, 2)] * 5 + [(2, 3)] * 5
        ]
        await until_async(lambda: len(held.started) == 4)
        await settle()
        assert sorted(held.started) == ["1:1", "1:1", "1:2", "2:3"]
        held.go.set()
        assert sorted(await asyncio.gather(*tasks)) == ["1:1"] * 5 + ["1:2"] * 5 + ["2:3"] * 5
        slow.close()

    asyncio.run(run())


def test_what_waits_too_long_or_behind_too_many_is_refused() -> None:
    async def run() -> None:
        slow, held = SlowWork(limits(per_key=1, waiting_per_team=2, wait_s=0.2)), Held()
        first = asyncio.ensure_future(slow.run(1, 1, held.work("a")))
        await until_async(lambda: held.started == ["a"])
        waiting = [asyncio.ensure_future(slow.run(1, 1, held.work("b"))) for _ in range(2)]
        await settle()
        with pytest.raises(TooBusy):
            await slow.run(1, 1, held.work("c"))
        assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [TooBusy] * 2
        held.go.set()
        assert await first == "a"
        assert await slow.run(1, 1, held.work("d")) == "d"
        assert held.started == ["a", "d"]
        slow.close()

    asyncio.run(run())


def test_work_whose_caller_went_away_keeps_its_place_until_it_ends() -> None:
    async def run() -> None:
        slow, held = SlowWork(limits(per_key=1)), Held()
        gone = asyncio.ensure_future(slow.run(1, 1, held.work("gone")))
        await until_async(lambda: held.started == ["gone"])
        waiting = asyncio.ensure_future(slow.run(1, 1, held.work("waited and went")))
        await settle()
        gone.cancel()
        waiting.cancel()
        await asyncio.gather(gone, waiting, return_exceptions=True)
        after = asyncio.ensure_future(slow.run(1, 1, held.work("after")))
        await settle()
        assert held.started == ["gone"]
        held.go.set()
        assert await after == "after"
        assert held.started == ["gone", "after"]
        slow.close()

    asyncio.run(run())


def test_errors_and_context_pass_through() -> None:
    setting: ContextVar[str] = ContextVar("setting")

    async def run() -> None:
        slow = SlowWork(limits(per_key=1))
        setting.set("given")
        assert await slow.run(1, 1, setting.get) == "given"
        with pytest.raises(ZeroDivisionError):
            await slow.run(1, 1, lambda: 1 // 0)
        assert await slow.run(1, 1, lambda: "free again") == "free again"
        slow.close()

    asyncio.run(run())
