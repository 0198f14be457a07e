"""The surroundings of the judge role in memory: a store of definitions and keys, and a judge over the stand-in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from config.definitions import Evaluation, load_stored
from config.model_resolution import StoredKeys
from config.provider_keys import KeyState, OpenKey, ProviderKey
from config.settings.sections import Judge as JudgeSettings
from processor.judge.keys import KeyDirectory
from processor.judge.statuses import Statuses, Surroundings
from processor.metrics import Metrics
from storage.snapshot import BrokenEvaluation, Snapshot, compile_team
from storage.sql.changes import TeamDefinitions
from storage.sql.engine import StoreUnavailable
from tests.unit.evaluators.llm_judge.bench_of_judges import Bench
from tests.virtual_time import run

NOW = datetime(2026, 3, 2, tzinfo=UTC)
TEAM = 7


def evaluation(evaluation_id: str = "e1", **changes: Any) -> Evaluation:
    fields = {
        "id": evaluation_id,
        "team_id": TEAM,
        "name": "polite",
        "description": "",
        "enabled": True,
        "status": "active",
        "status_reason": None,
        "status_reason_detail": None,
        "evaluation_type": "llm_judge",
        "evaluation_config": {"prompt": "Polite."},
        "output_type": "boolean",
        "output_config": {},
        "conditions": None,
        "model_configuration": {"provider": "custom", "model": "m1", "provider_key_id": KEY_ID},
        "budget": None,
        "sampling_cohort": "shared",
        "cache_verdicts": True,
        "deleted": False,
        "version": 1,
        "revision": 1,
        "fingerprint": "f",
        "origin": "api",
        "created_at": NOW,
        "updated_at": NOW,
        "created_by": None,
    }
    return load_stored({**fields, **changes})


def snapshot(revision: int, *evaluations: Evaluation, broken: tuple[BrokenEvaluation, ...] = ()) -> Snapshot:
    team, _ = compile_team(TEAM, TeamDefinitions(evaluations, {}))
    return Snapshot(revision, MappingProxyType({TEAM: team}), broken)


KEY_ID = "00000000-0000-4000-8000-000000000001"


def provider_key(state: KeyState = "ok") -> ProviderKey:
    return ProviderKey(
        id=KEY_ID,
        team_id=TEAM,
        provider="custom",
        name="models",
        api_key_masked="****",
        azure_endpoint=None,
        api_version=None,
        base_url="http://models.test/v1",
        state=state,
        error_message=None,
        created_at=NOW,
        updated_at=NOW,
        created_by=None,
        last_used_at=None,
    )


class MemoryStore:
    """Definitions and one key; every write is noted in `writes` and seen by the next poll.

    Attributes:
        down: whether the store does not answer.
    """

    def __init__(self, *evaluations: Evaluation) -> None:
        self.evaluations = {each.id: each for each in evaluations}
        self.key: ProviderKey | None = provider_key()
        self.revision = 1
        self.down = False
        self.trial = True
        self.writes: list[tuple[str, str]] = []
        self.current: Snapshot | None = None
        self.poll()

    def poll(self) -> bool:
        if not self.down and (self.current is None or self.current.revision < self.revision):
            self.current = snapshot(self.revision, *self.evaluations.values())
        return not self.down

    def load(self) -> StoredKeys:
        keys = [] if self.key is None else [OpenKey(self.key, SecretStr("sk-good"))]
        return StoredKeys(keys, [])

    def _write(self, what: str, value: str) -> None:
        if self.down:
            raise StoreUnavailable("the store is down")
        self.writes.append((what, value))
        self.revision += 1

    def set_error(self, team_id: int, evaluation_id: str, reason: str, detail: str) -> None:
        assert team_id == TEAM
        assert detail
        self._write(evaluation_id, reason)
        changes = {"enabled": False, "status": "error", "status_reason": reason, "status_reason_detail": detail}
        self.evaluations[evaluation_id] = evaluation(evaluation_id, revision=self.revision, **changes)

    def recover(self, team_id: int, evaluation_id: str) -> None:
        assert team_id == TEAM
        self._write(evaluation_id, "active")
        self.evaluations[evaluation_id] = evaluation(evaluation_id, revision=self.revision)

    def set_key_state(self, team_id: int, key_id: str, state: KeyState, message: str | None) -> None:
        assert (team_id, key_id) == (TEAM, KEY_ID)
        assert (message is None) == (state == "ok")
        self._write("key", state)
        self.key = provider_key(state)

    def trial_left(self, team_id: int) -> bool:
        assert team_id == TEAM
        return self.trial

    def touch(self, key_ids: Sequence[str]) -> None:
        self.writes.append(("touched", ",".join(key_ids)))


class Room:
    """A judge over the stand-in provider, and the statuses that look after it. Make it inside the event loop."""

    def __init__(self, *evaluations: Evaluation) -> None:
        self.bench = Bench()
        self.store = MemoryStore(*evaluations)
        self.metrics = Metrics(CollectorRegistry())
        self.directory = KeyDirectory(self.store.load, JudgeSettings(), None)
        self.woken = 0
        around = Surroundings(
            executor=None, metrics=self.metrics, now_ms=self.now_ms, random=self.bench.random.random, wake=self._wake
        )
        self.statuses = Statuses(self.store, self.store, self.directory, self.bench.judge, around)

    def now_ms(self) -> int:
        return int(self.bench.epoch() * 1000)

    def _wake(self) -> None:
        self.woken += 1

    async def tick(self) -> None:
        """Read the store and look once, as every second does."""
        self.store.poll()
        await self.statuses.tick()


def in_a_room(work: Callable[[Room], Awaitable[None]], *evaluations: Evaluation) -> None:
    """Run `work` in a room, in virtual time."""

    async def main() -> None:
        room = Room(*evaluations)
        await room.tick()
        await work(room)
        await room.bench.caller.close()

    run(main())
