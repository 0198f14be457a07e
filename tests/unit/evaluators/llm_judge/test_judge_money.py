"""Budgets, trials and costs of runs, and the key that pays, over the stand-in provider in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evaluators.llm_judge import (
    Judged,
    JudgeRequest,
    NotRun,
    Parked,
    make_endpoint,
)
from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.estimate import reservation
from tests.unit.evaluators.llm_judge.bench_of_judges import Bench, judging, verdict


def test_a_budget_is_never_exceeded_by_runs_at_the_same_time_and_all_that_fits_is_run() -> None:
    async def work(bench: Bench) -> None:
        scope = BudgetScope(owner="evaluation:e1", period="day", tokens=20_000)
        outcomes = await asyncio.gather(*(bench.run(f"Answer {n}.", scopes=(scope,)) for n in range(200)))
        usage = bench.budgets.usage(scope)
        judged = sum(isinstance(outcome, Judged) for outcome in outcomes)
        assert usage.tokens <= 20_000
        assert usage.reserved_tokens == 0
        assert judged + sum(isinstance(outcome, NotRun) for outcome in outcomes) == 200
        assert usage.tokens + reservation(bench.request(), bench.price).tokens > 20_000, "it is used up to the last run"
        assert len(bench.calls) == judged

    judging(work)


def test_a_budget_comes_back_at_midnight_and_when_it_is_raised() -> None:
    async def work(bench: Bench) -> None:
        scope = BudgetScope(owner="evaluation:e1", period="day", micro_usd=2_000)
        outcomes = [await bench.run(f"Answer {n}.", scopes=(scope,)) for n in range(10)]
        assert isinstance(outcomes[-1], NotRun)
        higher = BudgetScope(owner="evaluation:e1", period="day", micro_usd=200_000)
        verdict(await bench.run("raised", scopes=(higher,)))
        assert isinstance(await bench.run("lowered", scopes=(scope,)), NotRun)
        await asyncio.sleep(12 * 3600)
        verdict(await bench.run("tomorrow", scopes=(scope,)))

    judging(work, prices={"m1": (1.0, 1.0)})


@pytest.mark.parametrize("action", ["server_error", "unauthorized"])
def test_a_run_without_an_answer_costs_no_budget_and_no_trial(action: str) -> None:
    async def work(bench: Bench) -> None:
        scope = BudgetScope(owner="team:1", period="month", tokens=100_000)
        bench.script({"action": action})
        endpoint = make_endpoint("custom", "sk-operator", base_url="http://models.test/v1", key_type="trial")
        assert isinstance(await bench.run(scopes=(scope,), endpoint=endpoint), Parked)
        usage = bench.budgets.usage(scope)
        assert (usage.tokens, usage.reserved_tokens) == (0, 0)
        assert bench.trial.used == {1: 0}

    judging(work)


def test_the_trial_ends_at_its_limit_even_for_runs_at_the_same_time() -> None:
    async def work(bench: Bench) -> None:
        endpoint = make_endpoint("custom", "sk-operator", base_url="http://models.test/v1", key_type="trial")
        outcomes = await asyncio.gather(*(bench.run(f"Answer {n}.", endpoint=endpoint) for n in range(20)))
        parked = [outcome for outcome in outcomes if isinstance(outcome, Parked)]
        assert len(parked) == 18
        assert {outcome.cause for outcome in parked} == {"trial_limit_reached"}
        assert len(bench.calls) == 2
        judged = [outcome for outcome in outcomes if isinstance(outcome, Judged)]
        assert {outcome.usage.key_type for outcome in judged if outcome.usage} == {"trial"}

    judging(work)


def test_a_run_cancelled_in_mid_call_gives_its_reservation_back_as_used() -> None:
    """The provider's bill is not known, so that all that it may bill counts and nothing stays reserved."""

    async def work(bench: Bench) -> None:
        scope = BudgetScope(owner="team:1", period="day", tokens=100_000)
        task = asyncio.create_task(bench.run(scopes=(scope,)))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        usage = bench.budgets.usage(scope)
        assert usage.reserved_tokens == 0
        assert usage.tokens == reservation(bench.request(), bench.price).tokens

    judging(work)


def test_the_result_tells_tokens_cost_latency_model_and_key() -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.run(endpoint=make_endpoint("openai", "sk-x", key_id="k9"), model="gpt-5-mini")
        assert isinstance(outcome, Judged)
        usage = outcome.usage
        assert usage is not None
        assert (usage.model, usage.provider, usage.key_id, usage.key_type) == ("gpt-5-mini", "openai", "k9", "own")
        assert usage.latency_s == pytest.approx(0.2)
        assert usage.cost_usd == pytest.approx((usage.input_tokens * 0.25 + usage.output_tokens * 2.0) / 1e6)

    judging(work, prices={"gpt-5-mini": (0.25, 2.0)})


def test_a_model_without_a_price_costs_an_unknown_amount_not_nothing() -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.run(endpoint=make_endpoint("openai", "sk-x"), model="new-model")
        assert isinstance(outcome, Judged)
        assert outcome.usage is not None
        assert outcome.usage.cost_usd is None

    judging(work)


def test_a_key_is_in_no_text_that_a_person_sees() -> None:
    async def work(bench: Bench) -> None:
        endpoint = make_endpoint("custom", "sk-very-secret-1234", base_url="http://models.test/v1", key_id="k1")
        bench.script({"action": {"do": "unauthorized", "message": "Incorrect API key: sk-very-secret-1234"}})
        request: JudgeRequest = bench.request(endpoint=endpoint)
        outcome = await bench.judge.run(request)
        assert "very-secret" not in repr(outcome) + repr(request) + repr(next(iter(bench.gates)))

    judging(work)


def test_requests_carry_the_judges_header_and_system_mark() -> None:
    """So that a gateway, and the matcher, can tell a judge's call from a user's."""

    async def work(bench: Bench) -> None:
        seen: list[dict[str, str]] = []
        handle = bench.transport.handle_async_request

        async def spy(request: Any) -> Any:
            seen.append({name.lower(): value for name, value in request.headers.items()})
            return await handle(request)

        bench.transport.handle_async_request = spy  # looks and passes on
        await bench.run()
        assert seen[0]["x-gavel-judge"] == "e1"
        assert bench.calls[0].body["messages"][0]["content"].startswith("[gavel-judge]")

    judging(work)
