"""A scripted hour in fast time: whatever provider, keys, model and budget do, the sums are right at its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from processor.events.identity import result_uuid
from tests.integration.judge_hour import START, World
from tests.virtual_time import run

MINUTE = 60.0


PARK_LIMIT_S = 25 * MINUTE
"""How long a run may be parked in this hour, so that one that nobody helps expires within it."""
GONE_FOR_GOOD = {"match": {"api_key": "sk-third-00000000"}, "action": "unauthorized"}


async def script_of_the_hour(world: World, first: str, second: str, third: str) -> None:
    """The events of the hour: an outage, a 429 storm, a key revoked and replaced, a model withdrawn, a budget.

    The third team's key is revoked too, and nobody replaces it.
    """

    async def at(minute: float) -> None:
        await asyncio.sleep(minute * MINUTE - world.loop.time())

    key = world.keys.page(1).results[0]
    await at(5)
    world.transport.down = True
    await at(12)
    world.transport.down = False
    await at(15)
    world.script({"action": {"do": "rate_limited", "retry_after": "20"}})
    await at(18)
    world.script()
    await at(22)
    world.script({"match": {"api_key": "sk-first-00000000"}, "action": "unauthorized"}, GONE_FOR_GOOD)
    await at(26)
    assert world.status(1, first) == ("error", "provider_key_invalid")
    assert world.keys.get(1, key.id).state == "invalid"
    assert world.status(2, second) == ("active", None)
    assert world.status(3, third) == ("error", "provider_key_invalid")
    world.keys.update(1, key.id, {"state": "ok"}, api_key=SecretStr("sk-next-000000000"), now=world.sources.now())
    await at(32)
    assert world.status(1, first) == ("active", None)
    world.script({"match": {"model": "m2"}, "action": "model_not_found"}, GONE_FOR_GOOD)
    await at(36)
    assert world.status(2, second) == ("error", "model_not_found")
    world.change(2, second, model_configuration={"provider": "custom", "model": "m3"})
    await at(42)
    assert world.status(2, second) == ("active", None)
    used = sum(each["$ai_input_tokens"] + each["$ai_output_tokens"] for each in of(world, second))
    world.change(2, second, budget={"tokens": used + 20_000, "period": "day"})
    await at(48)
    world.change(2, second, budget={"tokens": 10_000_000, "period": "day"})
    await at(60)


def of(world: World, evaluation: str) -> list[dict[str, Any]]:
    return [each for each in world.results if each["$ai_evaluation_id"] == evaluation]


async def hour(folder: Path) -> World:
    world = World(folder, park_limit_s=PARK_LIMIT_S)
    world.add_key(1, "sk-first-00000000")
    world.add_key(2, "sk-second-0000000")
    world.add_key(3, "sk-third-00000000")
    first = world.add_evaluation(1, "m1")
    second = world.add_evaluation(2, "m2", budget={"tokens": 10_000_000, "period": "day"})
    third = world.add_evaluation(3, "m1")
    await asyncio.sleep(2)
    events = asyncio.create_task(script_of_the_hour(world, first, second, third))
    number = 0
    while not events.done():
        number += 1
        world.send(1, first, number)
        world.send(2, second, number)
        world.send(3, third, number)
        await asyncio.sleep(2.0)
    await events
    await world.until(world.idle, 2 * 3600)
    world.keys_at_the_end = {team: world.keys.page(team).results for team in (1, 2)}
    await world.close()
    return world


def test_every_task_of_the_hour_is_judged_once_or_counted_and_nothing_stays_off(tmp_path: Path) -> None:
    world = run(hour(tmp_path))
    first, second, third = world.sent
    results = Counter(each["uuid"] for each in world.results)
    assert max(results.values()) == 1
    # Team 3: every task has its verdict, or expired after its time; its evaluation is off, for it cannot run.
    letters = [dict(letter.headers) for letter in world.dead]
    assert {letter["gavel.error.class"] for letter in letters} == {b"expired"}
    expired = Counter(key.decode() for letter in letters if isinstance(key := letter["gavel.task.run_key"], bytes))
    assert max(expired.values()) == 1
    judged_of_third = {each["uuid"] for each in of(world, third)}
    assert {key for key in world.sent[third] if result_uuid(key) not in judged_of_third} == set(expired)
    assert world.counted("gavel_dead_letters", role="judge", reason="expired") == len(letters) > 0
    for letter in letters:
        parked_ms = int(letter["gavel.task.parked_since_ms"] or 0)
        assert parked_ms / 1000 - START.timestamp() > 22 * MINUTE - 5, "no run expired that the outage had delayed"
    assert world.status(3, third) == ("error", "provider_key_invalid")
    # Team 1: every task that was handed over has its verdict.
    assert {result_uuid(key) for key in world.sent[first]} == {each["uuid"] for each in of(world, first)}
    # Team 2: every one has its verdict, or was counted as over budget and lies in the range to be filled.
    judged = {each["uuid"] for each in of(world, second)}
    missing = [key for key in world.sent[second] if result_uuid(key) not in judged]
    over_budget = world.counted("gavel_runs_not_made", role="judge", reason="over_budget")
    assert len(missing) == over_budget > 0
    (skipped,) = world.budgets.skips(2, second)
    assert skipped.runs == over_budget
    assert START + timedelta(minutes=42) < skipped.first_event_at < skipped.last_event_at
    assert skipped.last_event_at < START + timedelta(minutes=48, seconds=5)
    # No verdict was made up while the provider was away, and no evaluation is off that could run.
    assert not any(each.get("$ai_evaluation_skipped") for each in world.results)
    assert world.status(1, first) == world.status(2, second) == ("active", None)
    assert world.parkings > 200
    assert all(key.last_used_at is not None for team in (1, 2) for key in world.keys_at_the_end[team])
    assert world.missed[first] + world.missed[second] < 500, "events were missed only while an evaluation was off"


def test_the_hour_is_quick_and_calls_are_few_while_nothing_answers(tmp_path: Path) -> None:
    """Breakers keep an outage from becoming a flood of calls: probes apart, nobody asks."""

    async def outage() -> tuple[int, int]:
        world = World(tmp_path)
        world.add_key(1, "sk-first-00000000")
        evaluation = world.add_evaluation(1, "m1")
        await asyncio.sleep(2)
        world.script({"action": "server_error"})
        for number in range(600):
            world.send(1, evaluation, number)
            await asyncio.sleep(3.0)
        calls = len(world.server._log)
        world.script()
        await world.until(world.idle, 3600)
        await world.close()
        return calls, len(world.results)

    calls, results = run(outage())
    assert results == 600
    assert calls < 100
