"""One run of a judge to look at: what was asked, what was answered, and what it was read as."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.definitions import EvaluationDraft
from config.prices import PriceTable
from evaluators.generation import Generation
from evaluators.llm_judge import Endpoint, Judge, JudgeRequest, Patience, RunOutcome, transcribe
from evaluators.llm_judge.budget import MemoryBudgets, MemoryTrial
from evaluators.llm_judge.cache import MemoryCache
from evaluators.llm_judge.client import Caller, Completion
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.gates import GateLimits, Gates
from evaluators.llm_judge.ladder import Ladder
from processor.judge_role import Sources
from processor.judge_runs import contract_of

_PATIENCE = Patience(run_s=120.0, attempts=3, retry_max_s=10.0)


@dataclass(slots=True)
class Exchange:
    """One call: its parameters, and its answer or its failure."""

    payload: Mapping[str, Any]
    completion: Completion | None = None
    failure: str | None = None


@dataclass(slots=True)
class RecordingCaller:
    """Makes calls by another caller and keeps what went to and fro."""

    caller: Caller
    exchanges: list[Exchange] = field(default_factory=list)

    async def complete(self, endpoint: Endpoint, payload: Mapping[str, Any], *, marker: str) -> Completion:
        """See `Caller.complete`."""
        exchange = Exchange(payload)
        self.exchanges.append(exchange)
        try:
            exchange.completion = await self.caller.complete(endpoint, payload, marker=marker)
        except ProviderFailure as failure:
            exchange.failure = failure.detail
            raise
        return exchange.completion

    async def list_models(self, endpoint: Endpoint) -> list[str]:
        """See `Caller.list_models`."""
        return await self.caller.list_models(endpoint)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it, and every call on the way."""

    outcome: RunOutcome
    exchanges: list[Exchange]


async def try_judge(
    draft: EvaluationDraft,
    generation: Generation,
    endpoint: Endpoint,
    model: str,
    *,
    caller: Caller,
    prices: PriceTable,
    max_chars: int,
) -> Attempt:
    """Judge one generation once, without a store. The caller must belong to the running event loop."""
    recorder = RecordingCaller(caller)
    clock = asyncio.get_running_loop().time
    judge = Judge(
        recorder,
        Gates(GateLimits(), clock=clock, random=random.random),
        Ladder(time.time),
        budgets=MemoryBudgets(Sources().now),
        trial=MemoryTrial(0),
        cache=MemoryCache(0, 0.0, clock),
        price=prices.cost,
        patience=_PATIENCE,
        random=random.random,
        nonce=lambda: secrets.token_hex(8),
    )
    request = JudgeRequest(
        team_id=generation.team_id,
        evaluation_id="try",
        fingerprint=draft.fingerprint_of_judging(),
        criteria=draft.prompt or "",
        contract=contract_of(draft.output_config),
        endpoint=endpoint,
        model=model,
        transcript=transcribe(generation.input, generation.output, generation.properties.get("$ai_tools")),
        errored=generation.properties.get("$ai_is_error") in (True, "true"),
        cache=False,
        max_chars=max_chars,
    )
    return Attempt(await judge.run(request), recorder.exchanges)
