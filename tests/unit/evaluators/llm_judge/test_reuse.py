"""Verdicts that are used again, over the stand-in provider in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evaluators.llm_judge import Judged, JudgeRequest, NotRun, Parked, RunOutcome, make_endpoint
from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.reuse import Reuse
from evaluators.verdict import Verdict
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


def test_a_reused_verdict_on_a_shortened_text_says_that_it_was_shortened() -> None:
    async def work(bench: Bench) -> None:
        for cached in (False, True):
            outcome = await bench.run("x" * 4_000, max_chars=1_000)
            assert isinstance(outcome, Judged)
            assert outcome.usage is not None
            assert (outcome.usage.cached, outcome.usage.truncated) == (cached, True)

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


SCOPE = BudgetScope(owner="evaluation:e1", period="day", tokens=1)
BAD = make_endpoint("custom", "sk-bad", base_url="http://models.test/v1", key_id="k2")
OBSTACLES = pytest.mark.parametrize(
    ("obstacle", "place"),
    [
        (NotRun(SCOPE, "used up"), {"evaluation_id": "e1", "scopes": (SCOPE,)}),
        (Parked("unauthorized", "the key is wrong"), {"evaluation_id": "e1", "endpoint": BAD}),
    ],
)


class Model:
    """Makes runs in a second each; the runs of one evaluation meet an obstacle."""

    def __init__(self, bench: Bench, obstacle: RunOutcome) -> None:
        self.obstacle = obstacle
        self.reuse = Reuse(bench.cache, lambda *_: None)
        self.asked: list[str] = []

    async def make(self, request: JudgeRequest) -> RunOutcome:
        self.asked.append(request.evaluation_id)
        await asyncio.sleep(1)
        return self.obstacle if request.evaluation_id == "e1" else Judged(Verdict(result=True, reasoning="fine"), None)

    async def run_all(self, *requests: JudgeRequest) -> list[RunOutcome]:
        return list(await asyncio.gather(*(self.reuse.run(request, self.make) for request in requests)))


@OBSTACLES
def test_an_obstacle_stops_no_identical_run_of_another_evaluation(obstacle: RunOutcome, place: dict[str, Any]) -> None:
    async def work(bench: Bench) -> None:
        model = Model(bench, obstacle)
        others = [bench.request(evaluation_id=name) for name in ("e2", "e3", "e2", "e3")]
        stopped, *answered = await model.run_all(bench.request(**place), *others)
        assert stopped == obstacle
        for outcome in answered:
            verdict(outcome)

    judging(work)


@OBSTACLES
def test_identical_runs_that_meet_the_same_obstacle_share_it(obstacle: RunOutcome, place: dict[str, Any]) -> None:
    async def work(bench: Bench) -> None:
        model = Model(bench, obstacle)
        assert await model.run_all(*(bench.request(**place) for _ in range(20))) == [obstacle] * 20
        assert model.asked == ["e1"]

    judging(work)


def test_an_obstacle_of_one_evaluation_makes_no_flood_of_calls_for_another() -> None:
    async def work(bench: Bench) -> None:
        model = Model(bench, NotRun(SCOPE, "used up"))
        first = bench.request(evaluation_id="e1", scopes=(SCOPE,))
        await model.run_all(first, *(bench.request(evaluation_id="e2") for _ in range(20)))
        assert model.asked == ["e1", "e2"]

    judging(work)
