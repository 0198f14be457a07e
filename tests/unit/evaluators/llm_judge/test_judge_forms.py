"""The forms in which a judge asks: the ladder that it descends, and the check of a model."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evaluators.llm_judge import (
    ModelCheck,
    OutputContract,
    Parked,
    check_model,
)
from evaluators.llm_judge.ladder import Rung
from tests.unit.evaluators.llm_judge.bench_of_judges import Bench, judging, verdict


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


def test_a_fenced_answer_between_sentences_is_repaired() -> None:
    async def work(bench: Bench) -> None:
        bench.script({"action": "fenced", "times": 1})
        verdict(await bench.run())
        assert len(bench.calls) == 2

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
