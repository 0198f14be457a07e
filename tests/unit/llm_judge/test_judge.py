"""The failure table, line by line, over the stand-in provider in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from evaluators.llm_judge import (
    Judged,
    JudgeRequest,
    ModelCheck,
    NotRun,
    OutputContract,
    Parked,
    Patience,
    check_model,
    make_endpoint,
)
from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.client import Timeouts
from evaluators.llm_judge.gates import GateLimits
from evaluators.llm_judge.ladder import Rung
from evaluators.verdict import Skip, Verdict
from tests.unit.llm_judge.bench_of_judges import Bench
from tests.virtual_time import run


def judging(work: Callable[[Bench], Awaitable[None]], **bench: Any) -> None:
    async def main() -> None:
        made = Bench(**bench)
        await work(made)
        await made.caller.close()

    run(main())


def verdict(outcome: Any) -> Verdict:
    assert isinstance(outcome, Judged), outcome
    assert isinstance(outcome.outcome, Verdict), outcome
    return outcome.outcome


def skip(outcome: Any) -> Skip:
    assert isinstance(outcome, Judged), outcome
    assert isinstance(outcome.outcome, Skip), outcome
    return outcome.outcome


TRANSIENT = [
    "server_error",
    "bad_gateway",
    "overloaded",
    "request_timeout",
    "rate_limited",
    "cut",
    "cut_body",
    "malformed",
    "html",
    "empty_body",
    "no_choices",
]


@pytest.mark.parametrize("action", TRANSIENT)
def test_a_passing_failure_is_retried_in_place_and_then_judged(action: str) -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": action, "times": 3})
        assert verdict(await bench.run()).result is True
        assert len(bench.calls) == 4

    judging(work)


@pytest.mark.parametrize("action", TRANSIENT)
def test_a_failure_that_stays_is_parked_after_the_last_attempt_and_never_a_verdict(action: str) -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": action})
        outcome = await bench.run()
        assert isinstance(outcome, Parked)
        assert outcome.cause in ("unavailable", "rate_limited")
        assert outcome.counts
        assert len(bench.calls) == 4

    judging(work)


@pytest.mark.parametrize("action", ["hang", {"do": "slow", "seconds": 500}])
def test_a_provider_that_hangs_is_given_up_at_the_total_deadline(action: Any) -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": action})
        outcome = await bench.run()
        assert isinstance(outcome, Parked)
        assert bench.loop.time() <= 100.5

    judging(work, timeouts=Timeouts(call_s=60.0), patience=Patience(run_s=100.0))


def test_retry_after_is_waited_for_and_never_undercut() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": {"do": "rate_limited", "retry_after": "30"}, "times": 1})
        verdict(await bench.run())
        assert 30.0 < bench.loop.time() < 33.0

    judging(work)


def test_a_retry_after_beyond_the_deadline_parks_at_once_with_that_time() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": {"do": "rate_limited", "retry_after": "3000"}})
        outcome = await bench.run()
        assert isinstance(outcome, Parked)
        assert outcome.wait_s == 3000.0
        assert len(bench.calls) == 1

    judging(work)


def test_waits_have_full_jitter_so_that_those_turned_away_do_not_return_together() -> None:
    async def work(bench: Bench) -> None:
        times: list[float] = []
        handle = bench.transport.handle_async_request

        async def spy(request: Any) -> Any:
            times.append(bench.loop.time())
            return await handle(request)

        bench.transport.handle_async_request = spy  # type: ignore[method-assign]  # looks and passes on
        bench.script({"action": {"do": "rate_limited", "retry_after": "5"}, "times": 10})
        for outcome in await asyncio.gather(*(bench.run(f"Answer {number}.") for number in range(10))):
            verdict(outcome)
        assert times[:10] == [0.0] * 10
        assert len(set(times[10:])) == 10
        assert min(times[10:]) > 5.0

    judging(work, limits=GateLimits(breaker_failures=1000))


LASTING = [
    ("unauthorized", "provider_key_invalid"),
    ("forbidden", "provider_key_permission_denied"),
    ("quota", "provider_key_quota_exceeded"),
    ("payment_required", "provider_key_quota_exceeded"),
    ("model_not_found", "model_not_found"),
]


@pytest.mark.parametrize(("action", "reason"), LASTING)
def test_a_lasting_failure_parks_without_a_retry_and_opens_the_breaker_after_three_in_a_row(
    action: str, reason: str
) -> None:
    async def work(bench: Bench) -> None:
        opened: list[Any] = []
        bench.gates.opened = opened.append
        bench.script({"action": action})
        for number in range(3):
            assert opened == []
            assert isinstance(await bench.run(f"Answer {number}."), Parked)
        assert [gate.breaker.reason for gate in opened] == [reason]
        assert len(bench.calls) == 3
        assert isinstance(await bench.run("Answer 4."), Parked)
        assert len(bench.calls) == 3, "an open breaker makes no call"

    judging(work)


def test_a_success_between_failures_starts_the_count_anew() -> None:
    async def work(bench: Bench) -> None:
        opened: list[Any] = []
        bench.gates.opened = opened.append
        for _ in range(3):
            bench.script({"action": "unauthorized", "times": 2})
            await bench.run("a")
            await bench.run("b")
            verdict(await bench.run(f"c {bench.loop.time()}"))
        assert opened == []

    judging(work)


def test_an_open_breaker_lets_one_probe_through_and_closes_by_itself() -> None:
    async def work(bench: Bench) -> None:
        closed: list[Any] = []
        bench.gates.closed = closed.append
        bench.script({"action": "unauthorized", "times": 3})
        for number in range(3):
            await bench.run(f"Answer {number}.")
        await asyncio.sleep(30.0)
        outcomes = await asyncio.gather(*(bench.run(f"Later {number}.") for number in range(5)))
        assert sum(isinstance(outcome, Judged) for outcome in outcomes) == 1
        assert len(closed) == 1
        assert isinstance(await bench.run("And on."), Judged)

    judging(work)


def test_failed_probes_come_ever_less_often() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": "model_not_found"})
        for second in range(7200):
            await bench.run(f"Answer {second}.")
            await asyncio.sleep(1.0)
        assert 3 < len(bench.calls) < 3 + 6 + 14

    judging(work)


def test_too_long_a_text_is_tried_once_more_with_half_and_then_skipped() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": "context_too_long", "times": 1})
        outcome = await bench.run("x" * 40_000)
        verdict(outcome)
        assert isinstance(outcome, Judged)
        assert outcome.usage is not None
        assert outcome.usage.truncated
        bench.script({"action": "context_too_long"})
        assert skip(await bench.run("y" * 40_000)).reason == "context_window_exceeded"
        sizes = [len(str(call.body)) for call in bench.calls]
        assert sizes[1] < sizes[0] * 0.6
        assert len(bench.calls) == 4
        assert next(iter(bench.gates)).breaker.state == "closed"

    judging(work)


@pytest.mark.parametrize("action", ["content_filtered", "refusal", "filtered_finish"])
def test_refused_content_is_a_skip_and_harms_neither_key_nor_evaluation(action: str) -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": action})
        for number in range(5):
            assert skip(await bench.run(f"Answer {number}.")).reason == "content_filtered"
        assert next(iter(bench.gates)).breaker.state == "closed"

    judging(work)


@pytest.mark.parametrize(
    "action",
    ["not_json", "empty_answer", "truncated", {"do": "answer", "content": '{"reasoning": "r", "verdict": "yes"}'}],
)
def test_an_answer_that_cannot_be_read_is_repaired_once_and_then_skipped(action: Any) -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": action, "times": 1})
        verdict(await bench.run("first"))
        assert len(bench.calls) == 2
        bench.script({"action": action})
        outcome = await bench.run("second")
        assert skip(outcome).reason == "unparsable_response"
        assert isinstance(outcome, Judged)
        assert outcome.usage is not None, "what the calls cost is told all the same"
        assert len(bench.calls) == 4

    judging(work)


def test_a_failed_generation_is_skipped_without_a_call() -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.run(errored=True)
        assert skip(outcome).reason == "trace_errored"
        assert isinstance(outcome, Judged)
        assert outcome.usage is None
        assert bench.calls == []

    judging(work)


# -- the ladder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusals", "mode"),
    [
        ((), "json_schema"),
        (("refuse_json_schema",), "tool_call"),
        (("refuse_json_schema", "refuse_tools"), "json_mode"),
        (("refuse_json_schema", "refuse_tools", "refuse_json_mode"), "plain"),
    ],
)
@pytest.mark.parametrize("allows_na", [False, True])
def test_the_ladder_descends_to_what_the_model_takes_and_remembers_it(
    refusals: tuple[str, ...], mode: str, allows_na: bool
) -> None:
    async def work(bench: Bench) -> None:
        bench.script(*({"action": action} for action in refusals))
        contract = OutputContract(allows_na=allows_na)
        verdict(await bench.run("first", contract=contract))
        assert len(bench.calls) == len(refusals) + 1
        verdict(await bench.run("second", contract=contract))
        assert len(bench.calls) == len(refusals) + 2
        assert bench.calls[-1].mode == mode
        assert len(bench.descents) == (1 if refusals else 0)

    judging(work)


def test_what_is_known_of_a_model_is_forgotten_after_a_day() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": "refuse_json_schema", "times": 1})
        verdict(await bench.run("first"))
        await asyncio.sleep(86_500)
        verdict(await bench.run("second"))
        assert bench.calls[-1].mode == "json_schema"

    judging(work)


def test_a_model_that_takes_no_temperature_is_asked_without_one_from_then_on() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": "refuse_temperature"})
        verdict(await bench.run("first"))
        verdict(await bench.run("second"))
        assert [call.body.get("temperature") for call in bench.calls] == [0, None, None]

    judging(work)


def test_a_server_that_ignores_the_format_is_taken_down_a_rung() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"match": {"mode": "json_schema"}, "action": "not_json"})
        for number in range(3):
            await bench.run(f"Answer {number}.")
        verdict(await bench.run("Answer 4."))
        assert bench.calls[-1].mode == "tool_call"

    judging(work)


def test_a_fenced_answer_between_sentences_is_read() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": "fenced"})
        verdict(await bench.run())
        assert len(bench.calls) == 1

    judging(work)


def test_all_output_types_are_judged() -> None:
    async def work(bench: Bench) -> None:
        numeric = OutputContract(type="numeric", minimum=0, maximum=10)
        assert verdict(await bench.run(contract=numeric, fingerprint="n")).score is not None
        options = (("good", "Good"), ("bad", "Bad"))
        categorical = OutputContract(type="categorical", options=options)
        assert verdict(await bench.run(contract=categorical, fingerprint="c")).categories in (("good",), ("bad",))

    judging(work)


def test_a_request_that_is_refused_on_every_rung_says_that_the_model_is_not_supported() -> None:
    async def work(bench: Bench) -> None:
        opened: list[Any] = []
        bench.gates.opened = opened.append
        bench.script({"action": "bad_request"})
        for number in range(3):
            assert isinstance(await bench.run(f"Answer {number}."), Parked)
        assert [gate.breaker.reason for gate in opened] == ["model_not_supported"]

    judging(work)


# -- cache --------------------------------------------------------------------------------------------------


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


# -- money --------------------------------------------------------------------------------------------------


def test_a_budget_is_never_exceeded_by_runs_at_the_same_time_and_all_that_fits_is_run() -> None:
    async def work(bench: Bench) -> None:
        scope = BudgetScope(owner="evaluation:e1", period="day", tokens=20_000)
        outcomes = await asyncio.gather(*(bench.run(f"Answer {n}.", scopes=(scope,)) for n in range(200)))
        usage = bench.budgets.usage(scope)
        judged = sum(isinstance(outcome, Judged) for outcome in outcomes)
        assert usage.tokens <= 20_000
        assert usage.reserved_tokens == 0
        assert judged + sum(isinstance(outcome, NotRun) for outcome in outcomes) == 200
        assert usage.tokens + bench.judge.estimate(bench.request()).tokens > 20_000, "it is used up to the last run"
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
    """What the provider will bill is not known: what it may bill is counted, nothing stays reserved."""

    async def work(bench: Bench) -> None:
        scope = BudgetScope(owner="team:1", period="day", tokens=100_000)
        task = asyncio.create_task(bench.run(scopes=(scope,)))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        usage = bench.budgets.usage(scope)
        assert usage.reserved_tokens == 0
        assert usage.tokens == bench.judge.estimate(bench.request()).tokens

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

        bench.transport.handle_async_request = spy  # type: ignore[method-assign]  # looks and passes on
        await bench.run()
        assert seen[0]["x-gavel-judge"] == "e1"
        assert bench.calls[0].body["messages"][0]["content"].startswith("[gavel-judge]")

    judging(work)


@pytest.mark.parametrize(
    ("refusals", "mode"),
    [
        ((), "json_schema"),
        (("refuse_json_schema",), "tool_call"),
        (("refuse_json_schema", "refuse_tools"), "json_mode"),
        (("refuse_json_schema", "refuse_tools", "refuse_json_mode"), "instruction"),
    ],
)
def test_a_check_names_the_form_that_a_model_answers_in(refusals: tuple[str, ...], mode: Rung) -> None:
    async def work(bench: Bench) -> None:
        bench.script(*({"action": action} for action in refusals))
        endpoint = bench.request().endpoint
        assert await check_model(bench.judge, endpoint, "m1", team_id=1) == ModelCheck(mode, True, None)

    judging(work)


@pytest.mark.parametrize("action", ["unauthorized", "model_not_found", "server_error", "not_json"])
def test_a_check_of_what_does_not_work_says_why_and_names_no_form(action: str) -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": action})
        found = await check_model(bench.judge, bench.request().endpoint, "m1", team_id=1)
        assert found.mode is None
        assert found.problem

    judging(work)
