"""Verdicts that are used again, over the stand-in provider in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evaluators.llm_judge import (
    Judged,
)
from tests.unit.evaluators.llm_judge.bench_of_judges import Bench, judging, verdict


def test_identical_input_is_judged_once_within_the_time_to_live() -> None:
    async def work(bench: Bench) -> None:
        first = await bench.run()
        again = await bench.run()
        assert verdict(first) == verdict(again)
        assert isinstance(again, Judged)
        assert again.usage is not None
        assert (again.usage.cached, again.usage.cost_usd, again.usage.input_tokens) == (True, 0.0, 0)
        await asyncio.sleep(3600)
        await bench.run()
        assert len(bench.calls) == 2

    judging(work)


@pytest.mark.parametrize("change", [{"fingerprint": "f2"}, {"team_id": 2}, {"model": "m2"}, {"cache": False}])
def test_a_verdict_is_never_taken_from_another_definition_team_or_model(change: dict[str, Any]) -> None:
    async def work(bench: Bench) -> None:
        await bench.run()
        await bench.run(**change)
        assert len(bench.calls) == 2

    judging(work)


def test_identical_calls_in_flight_share_one() -> None:
    async def work(bench: Bench) -> None:
        outcomes = await asyncio.gather(*(bench.run() for _ in range(50)))
        assert len(bench.calls) == 1
        assert sum(outcome.usage.cached for outcome in outcomes if isinstance(outcome, Judged) and outcome.usage) == 49

    judging(work)


def test_when_the_call_that_others_wait_for_is_cancelled_another_one_is_made() -> None:
    async def work(bench: Bench) -> None:
        first = asyncio.create_task(bench.run())
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(bench.run()) for _ in range(3)]
        await asyncio.sleep(0.05)
        first.cancel()
        for outcome in await asyncio.gather(*others):
            verdict(outcome)
        assert len(bench.calls) == 2

    judging(work)
