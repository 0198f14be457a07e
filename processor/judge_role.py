"""How the judge role is put together from the settings."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from config.prices import load_prices
from config.secrets import SecretBox
from config.settings import Settings
from config.settings.sections import Judge as JudgeSettings
from config.store.engine import Database
from config.store.provider_keys import ProviderKeys
from evaluators.llm_judge.budget import BudgetLedger, TrialLedger
from evaluators.llm_judge.cache import MemoryCache
from evaluators.llm_judge.client import Caller, Completion, Timeouts
from evaluators.llm_judge.gates import GateLimits, Gates
from evaluators.llm_judge.judge import Judge, Patience
from evaluators.llm_judge.ladder import Ladder, Rung
from evaluators.llm_judge.openai_caller import OpenAICaller
from evaluators.llm_judge.outcome import JudgeRequest, Price
from processor.events.task import Task
from processor.hog_status import HogFailures
from processor.judge import JudgeWorker
from processor.judge_addresses import GuardedCaller
from processor.judge_keys import KeyDirectory
from processor.judge_memory import Ebb
from processor.judge_runs import HOG_RUN, ROLE, JudgeRuns
from processor.judge_status import Snapshots, Statuses
from processor.judge_store import JudgeStore, StoreBudgets, StoreTrial
from processor.judge_turns import Turns
from processor.metrics import Metrics
from processor.parked import OVERFLOW, Delays, Parking
from processor.stage import Stage, StageLimits

if TYPE_CHECKING:
    from processor.role_context import RoleContext

_STORE_THREADS = 4
"""Fewer than the store's pool has connections: other roles of the process need some."""
_HOG_THREADS = 2
_STEADY_QUEUE = 2
"""Runs in hand per slot: enough that no slot waits for the next poll."""
_READ_AHEAD = 4
"""Tasks read per task in hand: what is only put in line is not in hand, but waits for the commit like all others."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Time and chance.

    Attributes:
        monotonic: of the event loop that the judge runs on.
        time: epoch seconds.
    """

    monotonic: Callable[[], float] = time.monotonic
    time: Callable[[], float] = time.time
    random: Callable[[], float] = random.random

    def now(self) -> datetime:
        """Aware UTC time."""
        return datetime.fromtimestamp(self.time(), UTC)

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return int(self.time() * 1000)


def build_caller(settings: Settings, sources: Sources) -> OpenAICaller:
    """Return what makes the calls."""
    judge = settings.judge
    timeouts = Timeouts(connect_s=judge.connect_timeout_s, read_s=judge.read_timeout_s, call_s=judge.call_deadline_s)
    return OpenAICaller(timeouts, now=sources.time, max_connections=judge.concurrency + 8)


def build_judge(
    settings: Settings,
    caller: Caller,
    *,
    budgets: BudgetLedger,
    trial: TrialLedger,
    price: Price,
    metrics: Metrics,
    sources: Sources,
) -> Judge:
    """Return the judge of one process."""
    judge = settings.judge
    limits = GateLimits(
        concurrency=judge.concurrency,
        requests_per_minute=judge.requests_per_minute,
        tokens_per_minute=judge.tokens_per_minute,
        breaker_failures=judge.breaker_failures,
        breaker_probe_s=judge.breaker_probe_s,
    )

    def observe(request: JudgeRequest, outcome: str, took_s: float, completion: Completion | None) -> None:
        provider, model = request.endpoint.provider, request.model
        metrics.count("gavel_judge_calls", provider=provider, model=model, outcome=outcome)
        if outcome != "cached":
            metrics.observe("gavel_judge_call_seconds", took_s, provider=provider)
        if completion is None:
            return
        used = (completion.input_tokens, completion.output_tokens)
        for direction, tokens in zip(("input", "output"), used, strict=True):
            metrics.count("gavel_judge_tokens", tokens, provider=provider, model=model, direction=direction)
        metrics.count("gavel_judge_cost_usd", price(provider, model, *used) or 0.0, provider=provider, model=model)

    def descended(_address: str, model: str, rung: Rung) -> None:
        metrics.count("gavel_judge_output_modes", model=model, mode=rung)

    return Judge(
        caller,
        Gates(limits, clock=sources.monotonic, random=sources.random),
        Ladder(sources.time, changed=descended),
        budgets=budgets,
        trial=trial,
        cache=MemoryCache(judge.cache_entries, judge.cache_ttl_s, sources.monotonic),
        price=price,
        patience=Patience(
            run_s=judge.run_deadline_s,
            attempts=judge.max_attempts,
            retry_initial_s=judge.retry_initial_s,
            retry_max_s=judge.retry_max_s,
        ),
        random=sources.random,
        nonce=lambda: secrets.token_hex(8),
        observe=observe,
    )


@dataclass(frozen=True, slots=True)
class Engine:
    """The judge role without Kafka."""

    runs: JudgeRuns
    statuses: Statuses
    parking: Parking
    judge: Judge


def build_engine(
    settings: Settings,
    database: Database,
    snapshots: Snapshots,
    metrics: Metrics,
    *,
    caller: Caller,
    failures: HogFailures,
    parked_partitions: int,
    wake: Callable[[], None],
    executor: Executor | None,
    hog_executor: Executor,
    sources: Sources,
) -> Engine:
    """Return the role's engine.

    Args:
        wake: called, on the event loop, when parked runs may be due before their time.
    """
    limits, topics = settings.judge, settings.kafka.topics
    keys = ProviderKeys(database, SecretBox(settings.secret_keys), trial_eval_limit=limits.trial_eval_limit)
    store = JudgeStore(database, keys, sources.now)
    directory = KeyDirectory(store.load, limits, executor)
    price = load_prices(limits.prices_path).cost
    judge = build_judge(
        settings,
        caller,
        budgets=StoreBudgets(store.budgets, sources.now, executor),
        trial=StoreTrial(keys, sources.now, executor),
        price=price,
        metrics=metrics,
        sources=sources,
    )
    statuses = Statuses(
        store,
        snapshots,
        directory,
        judge,
        executor=executor,
        metrics=metrics,
        now_ms=sources.now_ms,
        random=sources.random,
        wake=wake,
    )
    parking = Parking(
        topics.parked,
        Delays(limits.park_initial_s, limits.park_max_s, parked_partitions),
        limit_s=limits.park_limit_s,
        now_ms=sources.now_ms,
        releases=statuses,
    )
    runs = JudgeRuns(
        snapshots=snapshots,
        directory=directory,
        judge=judge,
        parking=parking,
        statuses=statuses,
        budgets=store.budgets,
        price=price,
        failures=failures,
        metrics=metrics,
        executor=executor,
        hog_executor=hog_executor,
        results_topic=topics.results,
        tasks_topic=topics.tasks,
        dead_letters_topic=topics.dead_letters,
        max_message_bytes=settings.kafka.max_message_bytes,
        hog_limit_s=limits.hog_limit_s,
        max_prompt_chars=limits.max_prompt_chars,
        weights=limits.weights,
        now=sources.now,
    )
    return Engine(runs, statuses, parking, judge)


def build_turns(engine: Engine, limits: JudgeSettings, metrics: Metrics) -> Turns:
    """Return what decides which tasks are taken in hand."""

    def capacity(task: Task) -> tuple[Hashable, float]:
        if task.run_key.startswith(HOG_RUN):
            return HOG_RUN, _HOG_THREADS
        return engine.statuses.slots(task.evaluation_id)

    return Turns(
        engine.parking,
        capacity,
        weights=limits.weights,
        max_in_hand=max(limits.max_in_flight_records, _STEADY_QUEUE * limits.concurrency),
        overflowed=lambda: metrics.count("gavel_judge_parked", cause=OVERFLOW),
    )


def build_judge_stage(context: RoleContext) -> Stage:
    """Return the judge: tasks in, results and parked tasks out."""
    settings = context.settings
    limits, topics = settings.judge, settings.kafka.topics
    executor = ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="judge-store")
    hog_executor = ThreadPoolExecutor(_HOG_THREADS, thread_name_prefix="judge-hog")
    context.on_close += [executor.shutdown, hog_executor.shutdown]
    sources = Sources()
    caller = build_caller(settings, sources)
    parked = context.clients.admin().list_topics(topics.parked, timeout=30).topics[topics.parked]
    engine = build_engine(
        settings,
        context.database,
        context.snapshots,
        context.metrics,
        caller=GuardedCaller(
            caller,
            allowed=limits.allowed_hosts,
            trusted=tuple(limits.base_urls.values()),
            executor=executor,
            clock=sources.monotonic,
        ),
        failures=context.hog_failures(),
        parked_partitions=max(1, len(parked.partitions)),
        wake=lambda: worker.wake(),  # noqa: PLW0108  # the worker is made below, of this engine
        executor=executor,
        hog_executor=hog_executor,
        sources=sources,
    )

    async def background() -> None:
        ebb = Ebb(lambda: worker.taken, lambda: worker.in_hand)
        await asyncio.gather(engine.statuses.run(), ebb.run(executor))

    worker = JudgeWorker(
        engine.runs.handle,
        ready=lambda: context.snapshots.current is not None,
        turns=build_turns(engine, limits, context.metrics),
        background=background,
        shutdown=caller.close,
    )
    in_flight = max(limits.max_in_flight_records, _STEADY_QUEUE * limits.concurrency)
    if engine.parking.has_lanes:
        in_flight *= _READ_AHEAD
    return Stage(
        ROLE,
        [topics.tasks, topics.parked],
        context.clients.consumer(ROLE),
        context.committer(ROLE),
        worker,
        StageLimits(
            batch_records=max(1, limits.max_in_flight_records // 4),
            poll_s=0.05,
            commit_interval_s=limits.commit_interval_s,
            max_records=in_flight,
            max_bytes=limits.max_in_flight_bytes,
            drain_s=settings.watchdog.shutdown_s,
            rejoin_s=context.rejoin_s,
        ),
        context.metrics,
    )
