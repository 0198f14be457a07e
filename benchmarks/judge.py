"""The cost of a judge process, measured against the stand-in provider in its own process.

    python -m benchmarks.judge [--seconds 15] [--parked 10000] [--waves 3]      (0 leaves a part out)

Three runs with 200 calls at a time and 1 s of latency: the bare `openai` client, the judge alone, and the whole judge
role on a real Kafka, with a backlog of one evaluation, so that every task waits in a lane once. Then, in a process of
its own, tasks are parked, wait and are judged, in waves, and the memory and CPU that this takes are read. Process CPU
times are ratios of one run on one machine; compare them, not runs.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import openai
from confluent_kafka import Producer

from benchmarks.judge_memory import measure
from config.outbound.callers import caller_of
from config.settings.sections import Judge as JudgeSettings
from evaluators.llm_judge import (
    Chance,
    Judge,
    Judged,
    JudgeRequest,
    OutputContract,
    Patience,
    RunStores,
    make_endpoint,
    transcribe,
)
from evaluators.llm_judge.budget import MemoryBudgets, MemoryTrial
from evaluators.llm_judge.cache import MemoryCache
from evaluators.llm_judge.conversation import JudgeExchange
from evaluators.llm_judge.gates import GateLimits, Gates
from evaluators.llm_judge.ladder import Ladder
from examples.stand_in.client import StandInServer
from processor.events.identity import run_key
from processor.events.task import Task
from processor.judge.role import Sources
from processor.runtime.logs import configure
from tests.integration.judge_rig import TEAM, JudgeRig
from tests.services.kafka import KafkaServer

CONCURRENCY = 200
WANTED_PER_S = 180.0


class Measured(NamedTuple):
    """Verdicts (or answers) per second, and CPU seconds of this process for each."""

    name: str
    per_s: float
    cpu_ms: float


def request(base_url: str, number: int) -> JudgeRequest:
    question = [{"role": "user", "content": f"Question {number}: " + "Where is my parcel, please? " * 30}]
    return JudgeRequest(
        team_id=1,
        evaluation_id="e",
        fingerprint="f",
        criteria="The answer is polite and complete. " * 10,
        contract=OutputContract(),
        endpoint=make_endpoint("custom", "sk-benchmark", base_url=base_url),
        model="m",
        transcript=transcribe(question, f"Answer {number}: " + "It left on Monday. " * 40, None),
    )


async def sustain(work: Callable[[int], Awaitable[bool]], seconds: float, name: str) -> Measured:
    """Keep `CONCURRENCY` pieces of work in progress for `seconds`, after a second of warming up."""
    numbers = itertools.count()
    done = 0
    counting = False
    stop = False

    async def worker() -> None:
        nonlocal done
        while not stop:
            assert await work(next(numbers)), "the provider gave no verdict"
            done += counting

    workers = [asyncio.create_task(worker()) for _ in range(CONCURRENCY)]
    await asyncio.sleep(6.0)  # every connection is open and the limit has grown to its full size
    counting, started, cpu = True, time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    counting, took, used = False, time.perf_counter() - started, time.process_time() - cpu
    stop = True
    await asyncio.gather(*workers)
    return Measured(name, done / took, used / done * 1000)


async def bare(base_url: str, seconds: float) -> Measured:
    """The client alone, sending what the judge sends."""
    client = openai.AsyncOpenAI(
        api_key="sk-benchmark",
        base_url=base_url,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(limits=_limits()),
    )
    talk = JudgeExchange(request(base_url, 0), Ladder(time.time))
    payload = talk.payload(talk.prompt(secrets.token_hex(8)))

    async def call(_number: int) -> bool:
        answer = await client.chat.completions.create(**payload)
        return bool(answer.choices[0].message.content)

    measured = await sustain(call, seconds, "bare client")
    await client.close()
    return measured


def _limits() -> Any:
    import httpx2

    return httpx2.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)


async def judge_alone(base_url: str, seconds: float) -> Measured:
    """The judge with everything in memory."""
    clock = asyncio.get_running_loop().time
    sources = Sources()
    caller = caller_of(JudgeSettings(), max_connections=CONCURRENCY, checked=False)
    judge = Judge(
        caller,
        Gates(GateLimits(concurrency=CONCURRENCY), clock=clock, random=sources.random),
        Ladder(time.time),
        RunStores(budgets=MemoryBudgets(sources.now), trial=MemoryTrial(0), cache=MemoryCache(10_000, 3600.0, clock)),
        price=lambda *_: 0.0,
        patience=Patience(),
        chance=Chance(random=sources.random, nonce=lambda: secrets.token_hex(8)),
    )

    async def run(number: int) -> bool:
        outcome = await judge.run(request(base_url, number))
        return isinstance(outcome, Judged)

    measured = await sustain(run, seconds, "judge")
    await caller.close()
    return measured


def tasks(rig: JudgeRig, evaluation: str, count: int) -> None:
    """Put tasks on the task topic as the matcher does."""
    producer = Producer({"bootstrap.servers": rig.settings.kafka.bootstrap_servers, "linger.ms": 20})
    for number in range(count):
        uuid = str(uuid4())
        properties = {  # no two are alike, because a verdict on a known text comes out of the cache
            "$ai_input": [{"role": "user", "content": f"Question {uuid}: " + "Where is my parcel, please? " * 30}],
            "$ai_output_choices": [{"role": "assistant", "content": f"Answer {number}. " + "It left on Monday. " * 40}],
        }
        row = {
            "uuid": uuid,
            "event": "$ai_generation",
            "properties": json.dumps(properties),
            "team_id": TEAM,
            "distinct_id": "d",
            "timestamp": "2026-03-02 12:00:00.000000",
        }
        key = run_key("llm_judge", evaluation, uuid)
        task = Task(TEAM, evaluation, uuid, key, "c", "2026-03-02T12:00:00+00:00")
        producer.produce(rig.topics.tasks, json.dumps(row), key=task.key(), headers=task.headers())
        producer.poll(0)
    assert producer.flush(60) == 0


def whole_role(kafka: str, stand_in: StandInServer, seconds: float) -> Measured:
    """The judge role: Kafka, ledger, transactions, store and calls."""
    with tempfile.TemporaryDirectory() as folder:
        rig = JudgeRig(kafka, Path(folder), stand_in.base_url, concurrency=CONCURRENCY)
        rig.add_key()
        evaluation = rig.add_evaluation()
        tasks(rig, evaluation, int((seconds + 25) * CONCURRENCY))
        rig.start(("judge",))
        time.sleep(12.0)
        before, started, cpu = _verdicts(rig), time.perf_counter(), time.process_time()
        time.sleep(seconds)
        done, took, used = _verdicts(rig) - before, time.perf_counter() - started, time.process_time() - cpu
        rig.close()
    return Measured("judge role", done / took, used / done * 1000)


def _verdicts(rig: JudgeRig) -> float:
    return sum(
        sample.value
        for family in rig.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "gavel_results_total"
    )


def rates(kafka: str, stand_in: StandInServer, seconds: float) -> None:
    """Print the rates and what a verdict costs."""
    found = [
        asyncio.run(bare(stand_in.base_url, seconds)),
        asyncio.run(judge_alone(stand_in.base_url, seconds)),
        whole_role(kafka, stand_in, seconds),
    ]
    base = found[0].cpu_ms
    print("| | per s | CPU ms each | of a core at 180/s beyond the bare client |\n|---|---:|---:|---:|")
    for name, per_s, cpu_ms in found:
        print(f"| {name} | {per_s:.1f} | {cpu_ms:.2f} | {(cpu_ms - base) * WANTED_PER_S / 10:.1f} % |", flush=True)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--parked", type=int, default=10_000)
    parser.add_argument("--waves", type=int, default=3)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds over which the CPU of waiting is read")
    given = parser.parse_args()
    configure("error", "json")
    stand_in = StandInServer("--latency", "1")
    try:
        with KafkaServer(short_lived=False) as kafka:
            if given.seconds:
                rates(kafka.bootstrap_servers, stand_in, given.seconds)
            if given.parked:
                measure(kafka.bootstrap_servers, stand_in, tasks, given.parked, given.waves, given.idle)
    finally:
        stand_in.close()


if __name__ == "__main__":
    main()
