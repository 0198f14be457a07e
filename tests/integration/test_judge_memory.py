"""The judge keeps only work in flight in memory, however many tasks have passed and however they ended."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from evaluators.llm_judge import JudgeRequest
from evaluators.llm_judge.conversation import JudgeExchange
from evaluators.llm_judge.prompt import Prompt
from evaluators.llm_judge.transcript import Transcript
from processor.events.identity import run_key
from processor.events.task import Task
from tests.integration.judge_hour import Message, World
from tests.virtual_time import run

CACHED = 50
NOISE_BYTES = 80_000
"""The memory of the last batch, and of Python's own caches. The ids of 800 events in a set are more."""
OF_A_RUN = (JudgeExchange, JudgeRequest, Prompt, Task, Transcript)


def message(world: World, evaluation: str, text: str) -> Message:
    """A task that nobody but its caller holds on to."""
    uuid = str(uuid4())
    row = {
        "uuid": uuid,
        "event": "$ai_generation",
        "properties": json.dumps({"$ai_input": f"Question {uuid}?", "$ai_output": text}),
        "team_id": 1,
        "distinct_id": "d",
        "timestamp": "2026-03-02 12:00:00.000000",
    }
    task = Task(1, evaluation, uuid, run_key("llm_judge", evaluation, uuid), "c1", "2026-03-02T12:00:00+00:00")
    return Message(world.topics.tasks, 0, 0, task.key(), json.dumps(row).encode(), task.headers())


async def pass_through(world: World, evaluation: str, count: int) -> set[str]:
    """Handle `count` tasks, a hundred at a time; return the topics that they went to."""
    topics = set()
    for _ in range(count // 100):
        runs = [world.engine.runs.handle(message(world, evaluation, "Of course. " * 20)) for _ in range(100)]
        topics |= {output.topic for outputs in await asyncio.gather(*runs) for output in outputs}
        world.server._log.clear()  # the provider's memory is not the judge's
    return topics


def kept_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize(("goes_to", "more"), [("results", 800), ("parked", 4_000)])
def test_memory_does_not_grow_with_the_tasks_that_passed(tmp_path: Path, goes_to: str, more: int) -> None:
    async def growth() -> tuple[set[str], int]:
        world = World(tmp_path, cache_entries=CACHED)
        world.add_key(1, "sk-first-00000000")
        evaluation = world.add_evaluation(1, "m1")
        await asyncio.sleep(2)
        if goes_to == "parked":
            world.script({"action": "server_error"})
        await pass_through(world, evaluation, 200)
        tracemalloc.start()
        try:
            await pass_through(world, evaluation, 200)
            before = kept_bytes()
            topics = await pass_through(world, evaluation, more)
            grown = kept_bytes() - before
        finally:
            tracemalloc.stop()
        await world.close()
        return topics, grown

    topics, grown = run(growth())
    # That a run is parked is a decision, and those stand on the topic of results.
    assert topics == {"gavel_results"} if goes_to == "results" else {"gavel_results", "gavel_parked"}
    assert grown < NOISE_BYTES


@contextmanager
def no_collector() -> Iterator[None]:
    """Run without the cyclic collector, which a judge process starts rarely."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("action", "limits"),
    [
        (None, {}),
        ("server_error", {}),
        ("rate_limited", {}),
        ("unauthorized", {}),
        ("model_not_found", {}),
        ("context_too_long", {}),
        ("not_json", {}),
        ("hang", {}),
        ("hang", {"run_deadline_s": 40.0, "call_deadline_s": 30.0, "read_timeout_s": 20.0}),
    ],
)
def test_a_run_that_ended_holds_no_text_without_the_help_of_the_collector(
    tmp_path: Path, action: str | None, limits: dict[str, float]
) -> None:
    """The collector comes by after 50 000 containers: by then, runs that refer to themselves have filled the memory."""

    async def left_over() -> list[Any]:
        world = World(tmp_path, cache_ttl_s=0.0, **limits)
        world.add_key(1, "sk-first-00000000")
        evaluation = world.add_evaluation(1, "m1")
        await asyncio.sleep(2)
        await pass_through(world, evaluation, 100)
        if action is not None:
            world.script({"action": action})
        with no_collector():
            await pass_through(world, evaluation, 200)
            await asyncio.sleep(700.0)  # whoever waited for a slot or a budget has given up
            found = [type(each).__name__ for each in gc.get_objects() if isinstance(each, OF_A_RUN)]
        await world.close()
        return found

    assert run(left_over()) == []
