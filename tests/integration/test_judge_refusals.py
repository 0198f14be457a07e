"""One text that a provider refuses stops nobody else, in fast time: the engine, a real store, the stand-in provider."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from processor.events.identity import result_uuid
from tests.integration.judge_hour import World
from tests.virtual_time import run

REFUSALS = {
    "a wording that is known": {"do": "bad_request", "message": "Content Exists Risk"},
    "a wording that nobody has seen": {"do": "bad_request", "message": "Rejected by rule 17 of this deployment."},
    "the status of a wrong key": {"do": "unauthorized", "message": "This conversation may not be processed."},
    "the status of a missing permission": {"do": "forbidden", "message": "This conversation may not be processed."},
    "the status of a missing model": {"do": "model_not_found", "message": "Nothing here for this conversation."},
    "the words of a used up quota": {"do": "quota"},
}


async def refused_texts(folder: Path, action: dict[str, Any]) -> None:
    world = World(folder)
    key = world.add_key(1, "sk-first-00000000")
    evaluations = [world.add_evaluation(1, "m1"), world.add_evaluation(1, "m1", name="another")]
    await asyncio.sleep(2)
    world.script(*({"match": {"contains": f"Question {number}?"}, "action": action} for number in range(3)))
    statuses = set()
    for number in range(63):
        for evaluation in evaluations:
            assert world.send(1, evaluation, number), "the evaluation is off"
        await asyncio.sleep(2.0)
        statuses |= {world.status(1, evaluation) for evaluation in evaluations}
        statuses |= {(world.keys.get(1, key.id).state, None)}
    assert statuses == {("active", None), ("ok", None)}
    ordinary = {result_uuid(run) for name in evaluations for run in world.sent[name][3:]}
    await asyncio.sleep(10.0)
    verdicts = {each["uuid"] for each in world.results if not each.get("$ai_evaluation_skipped")}
    assert verdicts == ordinary, "each of the ordinary generations has its verdict within seconds"
    await world.until(world.idle, 3600)
    await world.close()
    skipped = [each for each in world.results if each.get("$ai_evaluation_skipped")]
    assert {each["uuid"] for each in skipped} == {
        result_uuid(run) for name in evaluations for run in world.sent[name][:3]
    }
    assert {each["$ai_evaluation_skip_reason"] for each in skipped} == {"content_filtered"}
    assert world.dead == []
    assert world.counted("gavel_judge_status_changes", status="error", reason="model_not_supported") == 0


@pytest.mark.parametrize("action", REFUSALS.values(), ids=REFUSALS)
def test_three_texts_that_are_refused_leave_sixty_others_judged(tmp_path: Path, action: dict[str, Any]) -> None:
    run(refused_texts(tmp_path, action))


def test_parked_runs_go_at_once_when_the_provider_works_again_and_refused_ones_behind_them(tmp_path: Path) -> None:
    async def outage() -> None:
        world = World(tmp_path)
        world.add_key(1, "sk-first-00000000")
        evaluation = world.add_evaluation(1, "m1")
        await asyncio.sleep(2)
        world.script({"action": "unauthorized"})
        for number in range(100):  # within the second before anybody knows that the key is revoked
            world.send(1, evaluation, number)
        await world.until(lambda: world.status(1, evaluation)[0] == "error", 60)
        await asyncio.sleep(30)
        assert not world.results
        world.script()
        await world.until(lambda: world.status(1, evaluation) == ("active", None), 120)
        recovered = world.loop.time()
        await world.until(lambda: len(world.results) == 100, 60)
        assert world.loop.time() - recovered <= 25
        await world.close()

    run(outage())


def test_a_key_that_the_store_calls_bad_although_it_works_is_made_good_again(tmp_path: Path) -> None:
    async def wrong_word() -> None:
        world = World(tmp_path)
        key = world.add_key(1, "sk-first-00000000")
        evaluation = world.add_evaluation(1, "m1")
        await asyncio.sleep(2)
        world.send(1, evaluation, 0)
        await world.until(lambda: len(world.results) == 1, 30)
        world.keys.set_state(1, key.id, "error", error_message="somebody's word", now=world.sources.now())
        await world.until(lambda: world.keys.get(1, key.id).state == "ok", 15)
        await asyncio.sleep(3)
        assert world.status(1, evaluation) == ("active", None)
        assert world.send(1, evaluation, 1)
        await world.until(lambda: len(world.results) == 2, 30)
        await world.close()

    run(wrong_word())


def test_a_token_budget_holds_where_the_server_reports_no_usage(tmp_path: Path) -> None:
    async def unmetered() -> None:
        world = World(tmp_path)
        transport = world.transport.handle_async_request
        reported: list[Any] = []

        async def without_usage(request: Any) -> Any:
            reply = await transport(request)
            content = json.loads(await reply.aread())
            reported.append(content.pop("usage", None))
            return type(reply)(reply.status_code, json=content, request=request)

        world.transport.handle_async_request = without_usage
        world.add_key(1, "sk-first-00000000")
        evaluation = world.add_evaluation(1, "m1", budget={"tokens": 5_000, "period": "day"})
        await asyncio.sleep(2)
        for number in range(30):
            world.send(1, evaluation, number)
            await asyncio.sleep(2.0)
        await world.until(world.idle, 600)
        over = world.counted("gavel_runs_not_made", role="judge", reason="over_budget")
        assert all(reported), "the stand-in did report it"
        assert 2 <= len(world.results) < 30
        assert len(world.results) + over == 30
        used = sum(each["$ai_input_tokens"] + each["$ai_output_tokens"] for each in world.results)
        assert 0 < used <= 5_000
        assert all(each["$ai_evaluation_tokens_estimated"] for each in world.results)
        await world.close()

    run(unmetered())
