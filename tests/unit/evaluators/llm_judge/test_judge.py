"""The failure table, line by line, over the stand-in provider in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evaluators.llm_judge import (
    Judged,
    Parked,
    Patience,
)
from evaluators.llm_judge.caller import Timeouts
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.gates import GateLimits
from evaluators.verdict import Skip
from tests.unit.evaluators.llm_judge.bench_of_judges import Bench, judging, skip, verdict

SERVER_ERRORS = ["server_error", "bad_gateway", "overloaded"]
TRANSIENT = ["request_timeout", "rate_limited", "cut", "cut_body", "malformed", "html", "empty_body", "no_choices"]


@pytest.mark.parametrize("action", TRANSIENT + SERVER_ERRORS)
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
        # A reply of status 200 without an answer may be the text's fault: at the end a neutral text is asked.
        assert len(bench.calls) == (5 if action in ("malformed", "html", "empty_body", "no_choices") else 4)

    judging(work)


@pytest.mark.parametrize("action", SERVER_ERRORS)
def test_server_errors_that_stay_are_parked_whichever_form_is_asked_in(action: str) -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": action})
        outcome = await bench.run()
        assert isinstance(outcome, Parked)
        assert outcome.cause == "unavailable"
        runs = [call for call in bench.calls if "capital of France" in str(call.body)]
        forms = ["json_schema"] * 2 + ["tool_call"] * 2 + ["json_mode"] * 2 + ["plain"] * 4
        assert [call.mode for call in runs] == forms[: len(runs)]

    judging(work)


def test_a_rung_that_always_gives_server_errors_is_left_and_remembered_after_three_runs() -> None:
    """One such run may have met an outage, so that it says nothing about the rung yet."""

    async def work(bench: Bench) -> None:
        bench.script({"match": {"mode": "json_schema"}, "action": "server_error"})
        for number in range(3):
            verdict(await bench.run(f"Answer {number}."))
            assert bench.calls[-1].mode == "tool_call"
        assert bench.descents == [("m1", "tool_call")]
        before = len(bench.calls)
        verdict(await bench.run("Another answer."))
        assert len(bench.calls) == before + 1

    judging(work)


def test_an_outage_does_not_move_a_proven_form_down_the_ladder() -> None:
    async def work(bench: Bench) -> None:
        verdict(await bench.run("first"))
        bench.script({"action": "server_error", "times": 2})
        verdict(await bench.run("second"))
        assert [call.mode for call in bench.calls] == ["json_schema"] * 4
        assert bench.descents == []

    judging(work)


@pytest.mark.parametrize("action", ["hang", {"do": "slow", "seconds": 500}])
def test_a_provider_that_hangs_is_given_up_at_the_total_deadline(action: Any) -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": action})
        outcome = await bench.run()
        assert isinstance(outcome, Parked)
        assert bench.loop.time() <= 100.5

    judging(work, timeouts=Timeouts(connect_s=5.0, read_s=60.0, call_s=60.0), patience=Patience(run_s=100.0))


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

        bench.transport.handle_async_request = spy  # looks and passes on
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
        assert len(bench.calls) == 4, "three runs, and the neutral probe that confirmed them"
        turned_away = await bench.run("Answer 4.")
        assert isinstance(turned_away, Parked)
        assert turned_away.turned_away
        assert len(bench.calls) == 4, "an open breaker makes no call"

    judging(work)


@pytest.mark.parametrize("action", ["unauthorized", "quota", "model_not_found", "server_error", "rate_limited"])
def test_failures_of_some_texts_open_no_breaker_while_a_neutral_text_is_answered(action: str) -> None:
    async def work(bench: Bench) -> None:
        opened: list[Any] = []
        bench.gates.opened = opened.append
        bench.script({"match": {"contains": "poison"}, "action": action})
        for number in range(20):
            assert isinstance(await bench.run(f"poison {number}"), Parked)
        assert opened == []
        verdict(await bench.run("An ordinary answer."))

    judging(work)


@pytest.mark.parametrize(("action", "known"), [("bad_request", True), ("no_choices", False), ("no_choices", True)])
def test_a_refusal_in_unknown_words_is_the_texts_if_a_neutral_text_is_answered_in_that_form(
    action: str, known: bool
) -> None:
    async def work(bench: Bench) -> None:
        if known:
            verdict(await bench.run("first"))
        bench.script({"match": {"contains": "poison"}, "action": action})
        for number in range(5):
            assert skip(await bench.run(f"poison {number}")).reason == "content_filtered"
        assert next(iter(bench.gates)).breaker.state == "closed"
        verdict(await bench.run("An ordinary answer."))
        assert bench.calls[-1].mode == "json_schema", "what one text met is not remembered of the model"

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


def test_a_breaker_is_closed_by_the_neutral_probe_and_by_no_run() -> None:
    async def work(bench: Bench) -> None:
        closed: list[Any] = []
        bench.gates.closed = closed.append
        bench.script({"action": "unauthorized", "times": 4})
        for number in range(3):
            await bench.run(f"Answer {number}.")
        await asyncio.sleep(30.0)
        outcomes = await asyncio.gather(*(bench.run(f"Later {number}.") for number in range(5)))
        assert all(isinstance(outcome, Parked) and outcome.turned_away for outcome in outcomes)
        request = bench.request()
        assert await bench.judge.probe(request.endpoint, request.model) is None
        assert len(closed) == 1
        assert isinstance(await bench.run("And on."), Judged)

    judging(work)


def test_failed_probes_come_ever_less_often() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": "model_not_found"})
        request = bench.request()
        for second in range(7200):
            await bench.run(f"Answer {second}.")
            await bench.judge.probe(request.endpoint, request.model)
            await asyncio.sleep(1.0)
        assert 3 < len(bench.calls) < 6 + 6 + 14

    judging(work)


REFUSALS = ["unauthorized", "forbidden", "quota", "model_not_found", "bad_request"]


@pytest.mark.parametrize("action", REFUSALS)
def test_texts_that_are_refused_while_the_neutral_probe_is_answered_stop_nobody(action: str) -> None:
    """Whatever words the provider chooses: it answers the probe, so neither key nor model is at fault."""

    async def work(bench: Bench) -> None:
        opened: list[Any] = []
        bench.gates.opened = opened.append
        bench.script({"match": {"contains": "forbidden word"}, "action": action})
        parked = [await bench.run(f"A forbidden word {number}.") for number in range(6)]
        assert all(isinstance(each, Parked) and not each.turned_away for each in parked)
        assert [each.cause for each in parked if isinstance(each, Parked)].count("refused") == 2
        assert opened == []
        verdict(await bench.run("An ordinary answer."))

    judging(work)


def test_a_text_that_is_refused_twice_against_an_answered_probe_is_skipped() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"match": {"contains": "forbidden word"}, "action": "forbidden"})
        first = await bench.run("A forbidden word.")
        assert isinstance(first, Parked)
        assert first.cause == "forbidden", "one refusal alone is not looked into"
        second = await bench.run("A forbidden word.", parked_before=True)
        assert isinstance(second, Parked)
        assert second.cause == "refused"
        third = await bench.run("A forbidden word.", parked_before=True, refused_before=True)
        assert isinstance(third, Judged)
        assert isinstance(third.outcome, Skip)
        assert third.outcome.reason == "content_filtered"
        assert "refused twice" in third.outcome.detail

    judging(work)


def test_a_probe_that_fails_in_passing_says_nothing_about_the_key() -> None:
    async def work(bench: Bench) -> None:
        opened: list[Any] = []
        bench.gates.opened = opened.append
        bench.script({"match": {"contains": "Case no."}, "action": "unauthorized"}, {"action": "server_error"})
        for number in range(4):
            outcome = await bench.run(f"Case no. {number}")
            assert isinstance(outcome, Parked)
            assert outcome.cause == "unauthorized"
        assert opened == []

    judging(work)


def test_runs_that_were_parked_before_wait_behind_new_ones() -> None:
    async def work(bench: Bench) -> None:
        gate = bench.judge.gate_of(bench.request().endpoint, "m1")
        gate.limit, gate.slow_start = 1.0, False
        order: list[bool] = []

        async def make(number: int, *, parked: bool) -> None:
            await bench.run(f"Answer {number}.", parked_before=parked, cache=False)
            order.append(parked)

        returned = [make(number, parked=True) for number in range(20)]
        await asyncio.gather(*returned, *(make(number, parked=False) for number in range(20, 40)))
        assert sum(not parked for parked in order[:20]) >= 14

    bench_limits = GateLimits(concurrency=1)
    judging(work, limits=bench_limits)


def test_a_breaker_that_flaps_is_probed_ever_less_often() -> None:
    async def work(bench: Bench) -> None:
        request = bench.request()
        gate = bench.judge.gate_of(request.endpoint, request.model)
        waits = []
        for _ in range(4):
            bench.gates.confirmed(gate, ProviderFailure("unauthorized", "no"))
            waits.append(gate.breaker.wait_s())
            await asyncio.sleep(waits[-1] + 1.0)
            assert await bench.judge.probe(request.endpoint, request.model) is None
        assert waits[1] > waits[0] * 1.1
        assert waits[3] > waits[0] * 4
        await asyncio.sleep(3600.0)
        bench.gates.confirmed(gate, ProviderFailure("unauthorized", "no"))
        assert gate.breaker.wait_s() < waits[0] * 2

    judging(work)


def test_too_long_a_text_is_tried_once_more_with_half_and_then_skipped() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": "context_too_long", "times": 1})
        outcome = await bench.run("x" * 40_000)
        verdict(outcome)
        assert isinstance(outcome, Judged)
        assert outcome.usage is not None
        assert outcome.usage.truncated
        assert outcome.usage.truncated_to is not None
        assert 20_000 <= outcome.usage.truncated_to < 20_100, "the limit of the call that was answered"
        bench.script({"action": "context_too_long"})
        assert skip(await bench.run("y" * 40_000)).reason == "context_window_exceeded"
        sizes = [len(str(call.body)) for call in bench.calls]
        assert sizes[1] < sizes[0] * 0.6, sizes
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
