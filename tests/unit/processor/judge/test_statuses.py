"""Statuses change on evidence in both directions, are written in order, and set parked runs free."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from config.model_resolution import ResolvedModel
from evaluators.llm_judge import Parked
from tests.unit.processor.judge.room import KEY_ID, Room, evaluation, in_a_room, provider_key


def resolved(room: Room) -> ResolvedModel:
    return room.directory.resolve(evaluation(), ignore_state=True)


async def judge(room: Room, output: str, evaluation_id: str = "e1") -> Any:
    """Make one run as the role does."""
    model = resolved(room)
    room.statuses.note_use(evaluation(evaluation_id), model)
    request = room.bench.request(output, endpoint=model.endpoint, model=model.model, evaluation_id=evaluation_id)
    return await room.bench.judge.run(replace(request, cache=False))


async def break_key(room: Room, action: str = "unauthorized") -> None:
    room.bench.script({"action": action})
    for number in range(3):
        assert isinstance(await judge(room, f"Answer {number}."), Parked)
    await asyncio.sleep(0.1)


def test_a_key_that_the_probe_confirms_as_bad_stops_its_evaluations() -> None:
    async def work(room: Room) -> None:
        await judge(room, "Of the other.", "e2")
        await break_key(room)
        assert sorted(room.store.writes) == [
            ("e1", "provider_key_invalid"), ("e2", "provider_key_invalid"), ("key", "invalid"),
        ]  # fmt: skip

    in_a_room(work, evaluation("e1"), evaluation("e2"), evaluation("e3"))


def test_refused_texts_change_nothing_while_the_probe_is_answered() -> None:
    async def work(room: Room) -> None:
        room.bench.script({"match": {"contains": "secret recipe"}, "action": "forbidden"})
        for number in range(9):
            await judge(room, f"The secret recipe {number}.")
        await room.tick()
        assert room.store.writes == []

    in_a_room(work, evaluation())


def test_key_and_evaluation_come_back_when_a_probe_is_answered_and_parked_runs_are_set_free() -> None:
    async def work(room: Room) -> None:
        await break_key(room)
        stopped_ms = room.now_ms()
        assert room.statuses.released_ms("e1") == 0
        room.bench.server.script.rules.clear()
        for _ in range(40):
            await asyncio.sleep(1.0)
            await room.tick()
        assert room.store.writes[2:] == [("key", "ok"), ("e1", "active")]
        assert room.statuses.released_ms("e1") > stopped_ms
        assert room.woken > 0
        probes = room.metrics.total("gavel_judge_probes", outcome="answered")
        assert probes > 0
        assert room.metrics.total("gavel_judge_calls", outcome="answered") == probes, "an alert looks at the calls"

    in_a_room(work, evaluation())


def test_one_bad_minute_is_one_change_in_each_direction() -> None:
    """The states do not flap, however often somebody looks."""

    async def work(room: Room) -> None:
        await break_key(room)
        for second in range(120):
            if second == 60:
                room.bench.server.script.rules.clear()
            await asyncio.sleep(1.0)
            await room.tick()
        assert [value for what, value in room.store.writes if what == "key"] == ["invalid", "ok"]
        assert [value for what, value in room.store.writes if what == "e1"] == ["provider_key_invalid", "active"]

    in_a_room(work, evaluation())


def test_an_outage_is_nobodys_fault_and_changes_no_status() -> None:
    async def work(room: Room) -> None:
        room.bench.script({"action": "server_error"})
        for number in range(3):
            assert isinstance(await judge(room, f"Answer {number}."), Parked)
        await asyncio.sleep(0.1)
        assert [gate.breaker.state for gate in room.bench.gates] == ["open"]
        assert room.store.writes == []

    in_a_room(work, evaluation())


def test_only_evaluations_that_still_use_the_gate_are_stopped() -> None:
    async def work(room: Room) -> None:
        await judge(room, "Of the one that moves on.", "e2")
        other = {"provider": "custom", "model": "m2", "provider_key_id": KEY_ID}
        room.store.evaluations["e2"] = evaluation("e2", model_configuration=other)
        room.store.revision += 1
        await room.tick()
        await break_key(room, "model_not_found")
        assert room.store.writes == [("e1", "model_not_found")]

    in_a_room(work, evaluation("e1"), evaluation("e2"))


def test_a_restarted_process_probes_before_it_believes_either_word() -> None:
    stopped = evaluation(
        enabled=False, status="error", status_reason="provider_key_invalid", status_reason_detail="HTTP 401"
    )

    async def work(room: Room) -> None:
        assert room.store.writes == []
        for _ in range(5):
            await asyncio.sleep(1.0)
            await room.tick()
        assert ("e1", "active") in room.store.writes

    in_a_room(work, stopped)


def test_a_key_that_is_called_bad_elsewhere_is_probed_and_made_good_if_it_works() -> None:
    async def work(room: Room) -> None:
        await judge(room, "Answer.")
        room.store.key = provider_key("error")
        room.store.revision += 1
        for _ in range(5):
            await room.tick()
            await asyncio.sleep(1.0)
        assert room.store.writes[-1] == ("key", "ok")

    in_a_room(work, evaluation())


def test_a_key_that_was_just_seen_to_work_is_used_although_the_store_is_behind() -> None:
    async def work(room: Room) -> None:
        await break_key(room)
        room.bench.server.script.rules.clear()
        await room.tick()
        assert room.statuses.working(evaluation()) is None
        await asyncio.sleep(30.0)
        assert await room.bench.judge.probe(resolved(room).endpoint, "m1") is None
        found = room.statuses.working(evaluation())
        assert found is not None
        assert found.endpoint.key_id == KEY_ID

    in_a_room(work, evaluation())


def test_a_store_that_is_down_delays_a_status_and_ends_nothing() -> None:
    async def work(room: Room) -> None:
        room.store.down = True
        await break_key(room)
        assert room.store.writes == []
        room.store.down = False
        room.bench.server.script.rules.clear()
        await asyncio.sleep(30.0)
        await room.tick()
        await asyncio.sleep(1.0)
        assert room.store.writes == [("key", "ok")]

    in_a_room(work, evaluation())


def test_the_same_reason_is_not_written_for_every_run() -> None:
    async def work(room: Room) -> None:
        for _ in range(50):
            room.statuses.set_error(evaluation(), "provider_key_required", "no key")
        await asyncio.sleep(0.1)
        assert room.store.writes == [("e1", "provider_key_required")]

    in_a_room(work, evaluation())


def test_slots_are_those_of_the_gate_that_an_evaluation_uses() -> None:
    async def work(room: Room) -> None:
        key, slots = room.statuses.slots("e1")
        assert (key, slots) == (None, 10.0)
        await judge(room, "Answer.")
        key, slots = room.statuses.slots("e1")
        assert key is not None
        assert slots >= 10.0
        await break_key(room)
        assert room.statuses.slots("e1")[1] == float("inf"), "all end at the breaker"
        assert 0 < room.statuses.answered_ms("e1") <= room.now_ms()
        assert room.statuses.answered_ms("unknown") == 0

    in_a_room(work, evaluation())
