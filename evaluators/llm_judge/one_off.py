"""A judge outside of the stream: for `gavel judge try`, `test_judge`, dataset runs and checks of a model.

It has no cache, no budgets and little patience, because somebody waits for its answer.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from evaluators.llm_judge.budget import MemoryBudgets, MemoryTrial, TrialStore
from evaluators.llm_judge.cache import MemoryCache
from evaluators.llm_judge.caller import Caller, Completion
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.gates import GateLimits, Gates
from evaluators.llm_judge.judge import Judge
from evaluators.llm_judge.ladder import Ladder
from evaluators.llm_judge.outcome import JudgeRequest, Price, RunOutcome
from evaluators.llm_judge.providers import Endpoint
from evaluators.llm_judge.surroundings import Chance, Patience, RunStores

ONE_OFF_PATIENCE = Patience(run_s=120.0, attempts=3, retry_max_s=10.0)


@dataclass(slots=True)
class Exchange:
    """One call: its parameters, and its answer or its failure."""

    payload: Mapping[str, Any]
    completion: Completion | None = None
    failure: str | None = None


@dataclass(slots=True)
class RecordingCaller:
    """Makes calls by another caller and keeps their requests and answers."""

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
    """The outcome of a run, and every call that it made."""

    outcome: RunOutcome
    exchanges: list[Exchange]


def one_off_judge(
    caller: Caller,
    *,
    price: Price,
    trial: TrialStore | None = None,
    patience: Patience = ONE_OFF_PATIENCE,
    concurrency: int = 1,
) -> Judge:
    """Return a judge for the running event loop, to which the caller must belong.

    Args:
        trial: counts the runs on the operator's key; None if there are none.
        concurrency: calls at a time.
    """
    clock = asyncio.get_running_loop().time
    return Judge(
        caller,
        Gates(GateLimits(concurrency=concurrency), clock=clock, random=random.random),
        Ladder(time.time),
        RunStores(
            budgets=MemoryBudgets(lambda: datetime.now(UTC)),
            trial=MemoryTrial(0) if trial is None else trial,
            cache=MemoryCache(1, 0.0, clock),
        ),
        price=price,
        patience=patience,
        chance=Chance(random=random.random, nonce=lambda: secrets.token_hex(16)),
    )


async def try_once(request: JudgeRequest, caller: Caller, *, price: Price) -> Attempt:
    """Make one run and keep its calls. Its budgets do not apply, and its verdict is not cached."""
    recorder = RecordingCaller(caller)
    outcome = await one_off_judge(recorder, price=price).run(request)
    return Attempt(outcome, recorder.exchanges)
