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

from config.outbound.callers import caller_of
from config.prices import load_prices
from config.settings import Settings
from config.settings.sections import Judge as JudgeSettings
from evaluators.llm_judge.cache import MemoryCache
from evaluators.llm_judge.caller import Caller
from evaluators.llm_judge.gates import GateLimits, Gates
from evaluators.llm_judge.judge import Judge
from evaluators.llm_judge.ladder import Ladder, Rung
from evaluators.llm_judge.openai_caller import OpenAICaller
from evaluators.llm_judge.outcome import Price
from evaluators.llm_judge.surroundings import Chance, Patience, RunStores
from processor.events.message import Message, headers_of
from processor.events.output import Output
from processor.events.task import Task, TaskError, is_match, read_task
from processor.hog_failures import HogFailures
from processor.judge.budget_figures import BudgetFigures
from processor.judge.calls import call_observer
from processor.judge.definitions import DefinitionSource, TaskDefinitions
from processor.judge.hog_runs import HogRuns
from processor.judge.keys import KeyDirectory
from processor.judge.measured import MeasuredVersions
from processor.judge.memory import Ebb
from processor.judge.outputs import ROLE, RunOutputs
from processor.judge.over_budget import OverBudgetRuns
from processor.judge.parked import OVERFLOW, Delays, Parking
from processor.judge.runs import HOG_RUN, JudgeRuns, Runners, Versions
from processor.judge.served import ServedNotes
from processor.judge.statuses import Statuses, Surroundings
from processor.judge.store import JudgeStore, StoreBudgets, StoreTrial
from processor.judge.turns import Turns
from processor.judge.worker import Handle, JudgeWorker
from processor.metrics import Metrics
from processor.role_topics import topics_read
from processor.stream.limits import StageLimits
from processor.stream.stage import Stage
from processor.tracing.queue import TraceQueue
from storage.sql.engine import Database
from storage.sql.provider_keys import ProviderKeys
from storage.sql.served_models import ServedModels

if TYPE_CHECKING:
    from processor.role_context import RoleContext

_STORE_THREADS = 4
"""Fewer than the store's pool has connections: other roles of the process need some."""
_HOG_THREADS = 2
_STEADY_QUEUE = 2
"""Runs in hand per slot: enough that no slot waits for the next poll."""
_READ_AHEAD = 4
"""How many tasks to read for each one being judged. A task that only moves to a lane takes no slot, but it too waits
for the commit."""


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
    return caller_of(judge, max_connections=judge.concurrency + 8, now=sources.time)


def build_judge(
    settings: Settings,
    caller: Caller,
    *,
    stores: RunStores,
    price: Price,
    metrics: Metrics,
    traces: TraceQueue | None,
    sources: Sources,
    served: ServedNotes,
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

    def descended(_address: str, model: str, rung: Rung) -> None:
        metrics.count("gavel_judge_output_modes", model=model, mode=rung)

    return Judge(
        caller,
        Gates(limits, clock=sources.monotonic, random=sources.random),
        Ladder(sources.time, changed=descended),
        stores,
        price=price,
        patience=Patience(
            run_s=judge.run_deadline_s,
            attempts=judge.max_attempts,
            retry_initial_s=judge.retry_initial_s,
            retry_max_s=judge.retry_max_s,
        ),
        chance=Chance(random=sources.random, nonce=lambda: secrets.token_hex(8)),
        observe=call_observer(metrics, price, traces, sources.time, served.note),
    )


@dataclass(frozen=True, slots=True)
class Engine:
    """The judge role without Kafka."""

    runs: JudgeRuns
    statuses: Statuses
    parking: Parking
    judge: Judge
    figures: BudgetFigures
    served: ServedNotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The parts of a process that the engine does not make: calls, threads, time and chance.

    Attributes:
        executor: for the store; None makes its calls in the event loop.
        wake: called, on the event loop, when parked runs may be due before their time.
    """

    caller: Caller
    sources: Sources
    executor: Executor | None
    hog_executor: Executor
    wake: Callable[[], None]


def build_engine(
    settings: Settings,
    database: Database,
    snapshots: DefinitionSource,
    metrics: Metrics,
    *,
    outside: Outside,
    failures: HogFailures,
    parked_partitions: int,
    traces: TraceQueue | None = None,
) -> Engine:
    """Return the role's engine.

    Args:
        traces: take the calls; None if nothing is traced.
    """
    caller, sources, executor, hog_executor = outside.caller, outside.sources, outside.executor, outside.hog_executor
    limits, topics = settings.judge, settings.kafka.topics
    keys = ProviderKeys.of(settings, database)
    store = JudgeStore(database, keys, sources.now)
    directory = KeyDirectory(store.load, limits, executor)
    price = load_prices(limits.prices_path).cost
    served = ServedNotes(ServedModels(database), sources.now, executor)
    judge = build_judge(
        settings,
        caller,
        stores=RunStores(
            budgets=StoreBudgets(store.budgets, sources.now, executor),
            trial=StoreTrial(keys, sources.now, executor),
            cache=MemoryCache(limits.cache_entries, limits.cache_ttl_s, sources.monotonic),
        ),
        price=price,
        metrics=metrics,
        traces=traces,
        sources=sources,
        served=served,
    )
    around = Surroundings(
        executor=executor, metrics=metrics, now_ms=sources.now_ms, random=sources.random, wake=outside.wake
    )
    statuses = Statuses(store, snapshots, directory, judge, around)
    parking = Parking(
        topics.parked,
        Delays(limits.park_initial_s, limits.park_max_s, parked_partitions),
        limit_s=limits.park_limit_s,
        now_ms=sources.now_ms,
        releases=statuses,
    )
    outputs = RunOutputs(
        parking,
        metrics,
        topics,
        max_message_bytes=settings.kafka.max_message_bytes,
        now=sources.now,
        traces=traces,
    )
    runs = JudgeRuns(
        Versions(TaskDefinitions(snapshots, store, executor), MeasuredVersions(database, executor)),
        directory,
        Runners(judge, HogRuns(hog_executor, failures, limits.hog_limit_s)),
        statuses,
        outputs=outputs,
        over_budget=OverBudgetRuns(store.budgets, price, sources.now, executor),
        settings=limits,
        now_ms=sources.now_ms,
    )
    figures = BudgetFigures(store.budgets, directory.scopes, metrics, sources.now)
    return Engine(runs, statuses, parking, judge, figures, served)


def build_turns(engine: Engine, limits: JudgeSettings, metrics: Metrics) -> Turns:
    """Return what decides which tasks are taken in hand."""

    def capacity(task: Task) -> tuple[Hashable, float]:
        if task.run_key.startswith(HOG_RUN) or is_match(task):
            return HOG_RUN, _HOG_THREADS
        return engine.statuses.slots(task.evaluation_id)

    return Turns(
        engine.parking,
        capacity,
        weights=limits.weights,
        max_in_hand=max(limits.max_in_flight_records, _STEADY_QUEUE * limits.concurrency),
        overflowed=lambda: metrics.count("gavel_judge_parked", cause=OVERFLOW),
    )


def with_matching(handle: Handle, match: Callable[[Message], list[Output]], executor: Executor) -> Handle:
    """Return a handler that runs `match` on `executor` for tasks of `match_task`, and `handle` for all others."""

    async def either(message: Message) -> list[Output]:
        try:
            late = is_match(read_task(headers_of(message)))
        except TaskError:
            late = False  # `handle` makes a dead letter of it
        if not late:
            return await handle(message)
        return await asyncio.get_running_loop().run_in_executor(executor, match, message)

    return either


def build_judge_stage(context: RoleContext, match: Callable[[Message], list[Output]]) -> Stage:
    """Return the judge: tasks in, results and parked tasks out.

    Args:
        match: matches an event with all evaluations of its team, for tasks of `match_task`; may block for seconds.
    """
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
        outside=Outside(
            caller=caller,
            sources=sources,
            executor=executor,
            hog_executor=hog_executor,
            wake=lambda: worker.wake(),  # noqa: PLW0108  # the worker is made below, of this engine
        ),
        failures=context.hog_failures(),
        parked_partitions=max(1, len(parked.partitions)),
        traces=context.traces,
    )

    for partition in parked.partitions:
        context.metrics.set("gavel_parked_records", 0, topic=topics.parked, partition=str(partition))
        context.metrics.since("gavel_parked_oldest_seconds", 0.0, topic=topics.parked, partition=str(partition))
    context.details[ROLE] = lambda: {"breakers": engine.statuses.open_breakers}

    async def background() -> None:
        ebb = Ebb(lambda: worker.taken, lambda: worker.in_hand)
        figures = engine.figures.run(lambda: context.snapshots.current, executor)
        await asyncio.gather(engine.statuses.run(), ebb.run(executor), figures, engine.served.run())

    worker = JudgeWorker(
        with_matching(engine.runs.handle, match, hog_executor),
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
        topics_read(context.settings, ROLE),
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
