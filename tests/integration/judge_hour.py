"""The judge role in virtual time: engine, real store, stand-in provider, and a topic with delays in memory."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from config.definitions import parse_draft
from config.outbound.callers import timeouts_of
from config.provider_keys import ProviderKey
from config.settings import Settings
from evaluators.llm_judge.openai_caller import OpenAICaller
from examples.stand_in.in_process import InProcess
from examples.stand_in.script import Script
from examples.stand_in.server import Settings as StandInSettings
from examples.stand_in.server import StandIn
from processor.events.decision import DECISION_EVENT
from processor.events.identity import run_key
from processor.events.output import Output
from processor.events.task import Task
from processor.hog_failures import HogFailures
from processor.judge.role import Outside, Sources, build_engine
from processor.metrics import Metrics
from storage.snapshot import SnapshotPoller
from storage.sql.budgets import Budgets
from storage.sql.changes import read_changes
from storage.sql.engine import open_store
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade
from storage.sql.provider_keys import NewKey, ProviderKeys

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PARTITIONS = 8


class Message:
    """A Kafka message as the role reads it."""

    def __init__(self, topic: str, partition: int, offset: int, key: Any, value: Any, headers: Any) -> None:
        self._fields = (topic, partition, offset, key, value, headers)

    def topic(self) -> str:
        return str(self._fields[0])

    def partition(self) -> int:
        return int(self._fields[1])

    def offset(self) -> int:
        return int(self._fields[2])

    def key(self) -> Any:
        return self._fields[3]

    def value(self) -> Any:
        return self._fields[4]

    def headers(self) -> Any:
        return self._fields[5]

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)


class World:
    """Everything around the engine. Make it inside a virtual loop."""

    def __init__(self, folder: Path, **judge: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.settings = Settings.model_validate(
            {"data_dir": folder, "secret_keys": [Fernet.generate_key().decode()], "judge": judge}
        )
        self.topics = self.settings.kafka.topics
        self.database = open_store(self.settings)
        upgrade(self.database)
        self.keys = ProviderKeys.of(self.settings, self.database)
        self.evaluations = Evaluations(self.database)
        self.budgets = Budgets(self.database)
        self.snapshots = SnapshotPoller(partial(read_changes, self.database))
        self.server = StandIn(StandInSettings(latency_s=0.8, jitter_s=0.6))
        self.transport = InProcess(self.server)
        self.metrics = Metrics(CollectorRegistry())
        self.sources = Sources(self.loop.time, lambda: START.timestamp() + self.loop.time(), random.Random(11).random)
        self.caller = OpenAICaller(
            timeouts_of(self.settings.judge),
            max_reply_bytes=self.settings.judge.max_reply_bytes,
            now=self.sources.time,
            transport=self.transport,
        )
        self.hog_executor = ThreadPoolExecutor(1)
        self.engine = build_engine(
            self.settings,
            self.database,
            self.snapshots,
            self.metrics,
            outside=Outside(
                caller=self.caller,
                sources=self.sources,
                executor=None,
                hog_executor=self.hog_executor,
                wake=self.wake,
            ),
            failures=HogFailures(lambda *_: None),
            parked_partitions=PARTITIONS,
        )
        self.results: list[dict[str, Any]] = []
        self.dead: list[Output] = []
        self.parked: list[deque[Message]] = [deque() for _ in range(PARTITIONS)]
        self.parkings = 0
        self.sent: dict[str, list[str]] = {}
        self.missed: Counter[str] = Counter()
        self.keys_at_the_end: dict[int, tuple[ProviderKey, ...]] = {}
        self._until: dict[int, float] = {}
        self._offset = 0
        self._running: set[asyncio.Task[None]] = set()
        self._background = [self.loop.create_task(work()) for work in (self._poll, self._read_parked)]
        self._background.append(self.loop.create_task(self.engine.statuses.run()))

    async def close(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.caller.close()
        self.hog_executor.shutdown()
        self.database.close()

    # -- definitions ----------------------------------------------------------------------------------

    def add_key(self, team: int, api_key: str, **fields: Any) -> ProviderKey:
        values: dict[str, Any] = {"provider": "custom", "name": "k", "base_url": "http://models.test/v1", "state": "ok"}
        values |= {"set_as_active": True, **fields}
        active = values.pop("set_as_active")
        now = self.sources.now()
        return self.keys.create(
            team, NewKey(api_key=SecretStr(api_key), **values), actor="test", now=now, set_as_active=active
        )

    def add_evaluation(self, team: int, model: str, **fields: Any) -> str:
        draft = {
            "name": f"of team {team}",
            "enabled": True,
            "evaluation_type": "llm_judge",
            "evaluation_config": {"prompt": "The answer is polite."},
            "model_configuration": {"provider": "custom", "model": model},
            **fields,
        }
        found = self.evaluations.create(team, parse_draft(draft), actor="test", now=self.sources.now())
        self.sent[found.id] = []
        return found.id

    def change(self, team: int, evaluation: str, **changes: Any) -> None:
        from config.definitions import patch_draft

        def apply(current: Any) -> Any:
            return patch_draft(current.draft(), changes)

        self.evaluations.update(team, evaluation, apply, actor="person", now=self.sources.now())

    def status(self, team: int, evaluation: str) -> tuple[str, str | None]:
        found = self.evaluations.get(team, evaluation)
        return found.status, found.status_reason

    def script(self, *rules: dict[str, Any]) -> None:
        """Replace the provider's misbehaviour."""
        self.server.script = Script()
        self.server.script.add(list(rules))

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"{name}_total", labels) or 0.0

    # -- the stream -----------------------------------------------------------------------------------

    def send(self, team: int, evaluation: str, number: int) -> bool:
        """Let an event match, if the evaluation is on, as the matcher would."""
        snapshot = self.snapshots.current
        found = snapshot.find(team, evaluation) if snapshot else None
        if found is None or not found.definition.enabled:
            self.missed[evaluation] += 1
            return False
        uuid = f"00000000-0000-4000-8000-{team:04x}{number:08x}"
        now = self.sources.now()
        properties = {"$ai_input": f"Question {number}?", "$ai_output": f"Answer {number} of team {team}."}
        row = {
            "uuid": uuid,
            "event": "$ai_generation",
            "properties": json.dumps(properties),
            "team_id": team,
            "distinct_id": "d",
            "timestamp": now.isoformat(),
            "created_at": now.isoformat(),
        }
        key = run_key("llm_judge", evaluation, uuid)
        task = Task(team, evaluation, uuid, key, "c1", now.isoformat())
        self.sent[evaluation].append(key)
        output = Output("task", self.topics.tasks, task.key(), json.dumps(row).encode(), task.headers())
        self._take_up(self._message(output, 0))
        return True

    def _message(self, output: Output, partition: int) -> Message:
        self._offset += 1
        return Message(output.topic, partition, self._offset, output.key, output.value, list(output.headers))

    def _take_up(self, message: Message) -> None:
        task = self.loop.create_task(self._handle(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, message: Message) -> None:
        for output in await self.engine.runs.handle(message):
            if output.topic == self.topics.results:
                row = json.loads(output.value or b"")
                if row["event"] == DECISION_EVENT:
                    continue
                self.results.append({**json.loads(row["properties"]), "uuid": row["uuid"], "at": self.loop.time()})
            elif output.topic == self.topics.dead_letters:
                self.dead.append(output)
            else:
                assert output.topic == self.topics.parked
                self.parkings += 1
                self.parked[output.partition].append(self._message(output, output.partition))

    async def _poll(self) -> None:
        while True:
            self.snapshots.poll()
            await asyncio.sleep(1.0)

    def wake(self, source: tuple[str, int] | None = None) -> None:
        assert source is None
        self._until.clear()

    def defer(self, source: tuple[str, int], offset: int, *, wait_s: float, parked_since_ms: int | None = None) -> None:
        """See `processor.stream.worker.Control`."""
        self._until[source[1]] = self.loop.time() + wait_s

    async def _read_parked(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            for partition, waiting in enumerate(self.parked):
                if waiting and self._until.get(partition, 0.0) <= self.loop.time():
                    due = self.engine.parking.admit((self.topics.parked, partition), list(waiting), self)
                    for _ in due:
                        self._take_up(waiting.popleft())

    def idle(self) -> bool:
        return not self._running and not any(self.parked)

    async def until(self, condition: Callable[[], bool], limit_s: float) -> None:
        end = self.loop.time() + limit_s
        while not condition():
            assert self.loop.time() < end, f"waited {limit_s} virtual seconds"
            await asyncio.sleep(1.0)
