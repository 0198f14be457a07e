"""A judge over the stand-in provider in virtual time, with everything in memory."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from config.outbound.callers import timeouts_of
from config.settings.sections import Judge as JudgeSettings
from evaluators.llm_judge import (
    Chance,
    Judge,
    Judged,
    JudgeRequest,
    OutputContract,
    Patience,
    RunOutcome,
    RunStores,
    make_endpoint,
    transcribe,
)
from evaluators.llm_judge.budget import MemoryBudgets, MemoryTrial
from evaluators.llm_judge.cache import MemoryCache
from evaluators.llm_judge.caller import Timeouts
from evaluators.llm_judge.gates import GateLimits, Gates
from evaluators.llm_judge.ladder import Ladder
from evaluators.llm_judge.openai_caller import OpenAICaller
from evaluators.verdict import Skip, Verdict
from examples.stand_in.in_process import InProcess
from examples.stand_in.server import Settings, StandIn
from tests.virtual_time import run

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday."""
SETTINGS = JudgeSettings()


@dataclass
class Bench:
    """A judge and what is around it. Make it inside the event loop."""

    limits: GateLimits = field(default_factory=GateLimits)
    patience: Patience = field(default_factory=Patience)
    timeouts: Timeouts = field(default_factory=lambda: timeouts_of(SETTINGS))
    cache_ttl_s: float = 3600.0
    trial_limit: int = 2
    latency_s: float = 0.2
    prices: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.server = StandIn(Settings(latency_s=self.latency_s))
        self.transport = InProcess(self.server)
        self.random = random.Random(7)
        self.caller = self.caller_over(self.transport)
        self.gates = Gates(self.limits, clock=self.loop.time, random=self.random.random)
        self.descents: list[tuple[str, str]] = []
        self.ladder = Ladder(self.epoch, changed=lambda _a, model, rung: self.descents.append((model, rung)))
        self.budgets = MemoryBudgets(self.now)
        self.trial = MemoryTrial(self.trial_limit)
        self.cache = MemoryCache(100, self.cache_ttl_s, self.loop.time)
        self.judge = self.judge_with(self.caller)

    def caller_over(self, transport: httpx2.AsyncBaseTransport) -> OpenAICaller:
        return OpenAICaller(
            self.timeouts, max_reply_bytes=SETTINGS.max_reply_bytes, now=self.epoch, transport=transport
        )

    def judge_with(self, caller: OpenAICaller) -> Judge:
        """Return a judge that calls by another caller and shares the rest."""
        nonces = itertools.count(1)
        return Judge(
            caller,
            self.gates,
            self.ladder,
            RunStores(budgets=self.budgets, trial=self.trial, cache=self.cache),
            price=self.price,
            patience=self.patience,
            chance=Chance(random=self.random.random, nonce=lambda: f"{next(nonces):016x}"),
        )

    def epoch(self) -> float:
        return START.timestamp() + self.loop.time()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.epoch(), UTC)

    def price(self, _provider: str, model: str, input_tokens: int, output_tokens: int) -> float | None:
        known = self.prices.get(model)
        return None if known is None else (input_tokens * known[0] + output_tokens * known[1]) / 1e6

    def script(self, *rules: dict[str, Any]) -> None:
        self.server.script.add(list(rules))

    @property
    def calls(self) -> list[Any]:
        return list(self.server._log)

    def request(
        self, output: Any = "Paris.", *, question: str = "What is the capital of France?", **changes: Any
    ) -> JudgeRequest:
        messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": question}]
        values: dict[str, Any] = {
            "team_id": 1,
            "evaluation_id": "e1",
            "fingerprint": "f1",
            "criteria": "The answer contains no personal data.",
            "contract": OutputContract(),
            "endpoint": make_endpoint("custom", "sk-good", base_url="http://models.test/v1", key_id="k1"),
            "model": "m1",
            "transcript": transcribe(messages, output, None),
        }
        return JudgeRequest(**{**values, **changes})

    async def run(self, output: Any = "Paris.", **changes: Any) -> RunOutcome:
        return await self.judge.run(self.request(output, **changes))


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
