"""Statuses of evaluations and states of keys: how lasting failures change them, and how both recover by themselves.

A gate (key and model) opens for a lasting reason only after the neutral probe failed like the runs before it. The key's
state and the status of the evaluations that use it then say so, and the gate is probed on a timer. When a probe is
answered, the key becomes `ok`, the evaluations `active`, and parked runs go before their time. So each change has
its evidence: a probe that failed for one direction, a probe that was answered for the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from config.definitions import Evaluation, StatusReason
from config.model_resolution import ResolvedModel, Unresolved
from config.provider_keys import KeyState
from evaluators.llm_judge.failures import REASONS, FailureKind
from evaluators.llm_judge.gates import Gate, GateKey
from evaluators.llm_judge.judge import Judge
from processor.judge.definitions import DefinitionSource
from processor.judge.gate_users import GateUsers
from processor.judge.keys import KeyDirectory
from processor.metrics import Metrics
from storage.snapshot import Snapshot
from storage.sql.engine import StoreError

_OURS = frozenset(
    {"provider_key_required", "provider_key_deleted", "no_default_model", "trial_limit_reached", "budget_exhausted"}
)
"""Reasons that no longer hold as soon as a key and a model can be found."""
_CAUSES: dict[str, FailureKind] = {reason: kind for kind, reason in REASONS.items()}
_CAUSES["provider_key_rate_limited"] = "rate_limited"
_KEY_STATES: dict[FailureKind, KeyState] = {"unauthorized": "invalid", "forbidden": "error", "quota": "error"}
_DOUBTS: dict[KeyState, FailureKind] = {"invalid": "unauthorized", "error": "forbidden"}
"""Failures that the states of a key stand for."""
_ASK_AGAIN_S = 10.0
_TOUCH_EVERY_S = 60.0
_MAX_DETAIL_CHARS = 300


class StatusStore(Protocol):
    """Writes states; called on the executor. May raise `StoreError`."""

    def set_error(self, team_id: int, evaluation_id: str, reason: StatusReason, detail: str) -> None:
        """Switch an active evaluation off."""

    def recover(self, team_id: int, evaluation_id: str) -> None:
        """Switch an evaluation that is in error on again."""

    def set_key_state(self, team_id: int, key_id: str, state: KeyState, message: str | None) -> None:
        """Note whether a key works."""

    def trial_left(self, team_id: int) -> bool:
        """Whether the team has trial runs left."""

    def touch(self, key_ids: Sequence[str]) -> None:
        """Note that keys were used just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The parts of the process that the statuses use.

    Attributes:
        executor: for blocking calls to the store.
        now_ms: epoch milliseconds.
        random: uniform in [0, 1).
        wake: called when parked runs may be due before their time.
    """

    executor: Executor | None
    metrics: Metrics
    now_ms: Callable[[], int]
    random: Callable[[], float]
    wake: Callable[[], None]


class Statuses:
    """Keeps statuses true. Belongs to one event loop; any thread may call the methods of `GateUsers`.

    Writes to the store happen one after the other, in the order in which their reasons were found.
    """

    def __init__(
        self,
        store: StatusStore,
        definitions: DefinitionSource,
        directory: KeyDirectory,
        judge: Judge,
        surroundings: Surroundings,
    ) -> None:
        self._store = store
        self._definitions = definitions
        self._directory = directory
        self._judge = judge
        self._around = surroundings
        self._users = GateUsers(judge.gates, surroundings.now_ms)
        self._verified: set[GateKey] = set()
        self._probing: set[GateKey] = set()
        self._asked: dict[tuple[str, str], float] = {}
        self._errored: dict[str, Evaluation] = {}
        self._errored_revision: int | None = None
        self._bad_keys: set[tuple[int, str]] = set()
        self._touched_s = 0.0
        self.open_breakers: list[dict[str, Any]] = []
        """Keys and models that get no calls now, and why. Replaced as a whole, so any thread may read it."""
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("gavel.judge")
        self.note_use = self._users.note
        self.slots = self._users.slots
        self.released_ms = self._users.released_ms
        self.answered_ms = self._users.answered_ms
        judge.gates.opened = self._on_opened
        judge.gates.closed = self._on_closed

    def working(self, definition: Evaluation) -> ResolvedModel | None:
        """Return key and model of an evaluation whose key the store calls bad, if they were just seen to work here."""
        try:
            resolved = self._directory.resolve(definition, ignore_state=True)
        except Unresolved:
            return None
        gates = [self._judge.gate_of(model.endpoint, model.model) for model in resolved.all]
        works = all(gate.key in self._verified and gate.breaker.state == "closed" for gate in gates)
        return resolved if works else None

    # -- downwards ------------------------------------------------------------------------------------

    def set_error(self, definition: Evaluation, reason: StatusReason, detail: str) -> None:
        """Switch an evaluation off because of `reason`. The same reason is not written again for some seconds."""
        now = asyncio.get_running_loop().time()
        asked = self._asked.get((definition.id, reason), float("-inf"))
        if definition.status != "active" or now - asked < _ASK_AGAIN_S:
            return
        self._asked[definition.id, reason] = now
        self._spawn(self._set_error(definition.team_id, definition.id, reason, detail))

    async def _set_error(self, team_id: int, evaluation_id: str, reason: StatusReason, detail: str) -> None:
        await self._call(self._store.set_error, team_id, evaluation_id, reason, detail)
        self._around.metrics.count("gavel_judge_status_changes", status="error", reason=reason)
        self._log.warning("evaluation_stopped", evaluation_id=evaluation_id, team_id=team_id, reason=reason)

    def _on_opened(self, gate: Gate) -> None:
        self._verified.discard(gate.key)
        known = self._users.known(gate.key)
        breaker = gate.breaker
        self._log.warning(
            "breaker_opened",
            key=known[1].endpoint.key_name if known else None,
            model=gate.key[1],
            cause=breaker.cause,
            detail=breaker.detail,
        )
        if known is None or breaker.reason is None:
            return  # the provider's own trouble: nobody's status changes
        state = _KEY_STATES.get(breaker.cause)
        key_id = known[1].endpoint.key_id
        if state is not None and key_id is not None:
            self._spawn(self._call(self._store.set_key_state, known[0], key_id, state, breaker.detail))
        snapshot = self._definitions.current
        for team_id, evaluation_id in self._users.of(gate.key):
            found = snapshot.find(team_id, evaluation_id) if snapshot is not None else None
            if found is not None and self._uses(found.definition, gate):
                self.set_error(found.definition, breaker.reason, breaker.detail)  # type: ignore[arg-type]  # REASONS holds status reasons

    def _uses(self, definition: Evaluation, gate: Gate) -> bool:
        """Whether an evaluation still uses a gate, which it passed at some time."""
        try:
            resolved = self._directory.resolve(definition, ignore_state=True)
        except Unresolved:
            return False
        return any((model.endpoint.identity(), model.model) == gate.key for model in resolved.all)

    # -- upwards --------------------------------------------------------------------------------------

    def _on_closed(self, gate: Gate) -> None:
        self._verified.add(gate.key)
        known = self._users.known(gate.key)
        self._log.info("breaker_closed", key=known[1].endpoint.key_name if known else None, model=gate.key[1])
        if known is not None and known[1].endpoint.key_id is not None:
            # Written whatever is known of the key here, which can be older than the write that called it bad.
            self._spawn(self._call(self._store.set_key_state, known[0], known[1].endpoint.key_id, "ok", None))
        self._release(evaluation_id for _, evaluation_id in self._users.of(gate.key))

    def _release(self, evaluation_ids: Iterable[str]) -> None:
        self._users.release(evaluation_ids)
        self._around.wake()

    async def run(self, interval_s: float = 1.0) -> None:
        """Look every `interval_s` seconds, as `tick` does, until cancelled."""
        away = False
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.tick()
            except StoreError as error:
                if not away:
                    self._log.warning("recovery_waits", error=str(error))
                away = True
            else:
                away = False

    async def tick(self) -> None:
        """Look once at all evaluations in error, all keys that are called bad, and all open gates."""
        snapshot = self._definitions.current
        if snapshot is None:
            return
        await self._directory.ensure(snapshot.revision)
        self._doubt_bad_keys()
        self._find_errored(snapshot)
        for definition in list(self._errored.values()):
            await self._try_to_recover(definition)
        for gate in self._judge.gates:
            if gate.breaker.probe_due() and self._users.known(gate.key) and gate.key not in self._probing:
                self._probing.add(gate.key)
                self._spawn(self._probe(gate), writes=False)
        await self._touch_keys()
        metrics, gates = self._around.metrics, self._judge.gates
        self.open_breakers = [self._describe(gate) for gate in gates if gate.breaker.state != "closed"]
        metrics.set("gavel_judge_breakers_open", len(self.open_breakers))
        metrics.set("gavel_judge_in_flight", gates.in_flight)
        metrics.set("gavel_judge_waiting", gates.waiting())

    def _describe(self, gate: Gate) -> dict[str, Any]:
        known, breaker = self._users.known(gate.key), gate.breaker
        return {
            "key": known[1].endpoint.key_name if known else None,
            "model": gate.key[1],
            "cause": breaker.cause,
            "detail": breaker.detail[:_MAX_DETAIL_CHARS],
            "next_probe_in_s": round(breaker.wait_s()),
        }

    async def _touch_keys(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._touched_s >= _TOUCH_EVERY_S and (used := self._users.take_used_keys()):
            self._touched_s = now
            await self._call(self._store.touch, used)

    def _doubt_bad_keys(self) -> None:
        """Have a gate probed as soon as the store begins to call its key bad: its word decides what the key becomes."""
        bad = set()
        for gate in self._judge.gates:
            known = self._users.known(gate.key)
            key_id = None if known is None else known[1].endpoint.key_id
            if known is None or key_id is None:
                continue
            key = self._directory.key(known[0], key_id)
            if key is None or key.key.state not in _DOUBTS:
                continue
            bad.add((known[0], key_id))
            if (known[0], key_id) not in self._bad_keys and gate.breaker.state == "closed":
                self._verified.discard(gate.key)
                gate.breaker.force_open(_DOUBTS[key.key.state], key.key.error_message or "", probe_in_s=self._jitter())
        self._bad_keys = bad

    def _jitter(self) -> float:
        return self._around.random()

    def _find_errored(self, snapshot: Snapshot) -> None:
        if snapshot.revision == self._errored_revision:
            return
        before = self._errored
        self._errored = {
            definition.id: definition
            for team in snapshot.teams.values()
            for each in team.evaluations
            if (definition := each.definition).status == "error"
            and definition.evaluation_type == "llm_judge"
            and (definition.status_reason in _OURS or definition.status_reason in _CAUSES)
        }
        self._errored_revision = snapshot.revision
        recovered = [
            old.id
            for old in before.values()
            if (now := snapshot.find(old.team_id, old.id)) is not None and now.definition.status == "active"
        ]
        if recovered:  # this process, another one or a person switched them on
            self._release(recovered)

    async def _try_to_recover(self, definition: Evaluation) -> None:
        try:
            resolved = self._directory.resolve(definition, ignore_state=True)
        except Unresolved:
            return
        if definition.status_reason in _OURS:
            on_trial = any(model.endpoint.key_type == "trial" for model in resolved.all)
            if on_trial and not await self._trial_left(definition):
                return
            await self._recover(definition)
            return
        if self._all_work(definition, resolved):
            await self._recover(definition)

    def _all_work(self, definition: Evaluation, resolved: ResolvedModel) -> bool:
        """Whether every model of an evaluation in error is known to work. Those that are not get a probe."""
        work = True
        self.note_use(definition, resolved)
        for model in resolved.all:
            gate = self._judge.gate_of(model.endpoint, model.model)
            if gate.breaker.state == "closed" and gate.key in self._verified:
                continue
            work = False
            if gate.breaker.state == "closed":  # in another state its probe decides
                # Known to be broken from the store only: after a restart, or since a key or a model was replaced.
                cause = _CAUSES[definition.status_reason or ""]
                gate.breaker.force_open(cause, definition.status_reason_detail or "", probe_in_s=self._jitter())
        return work

    async def _trial_left(self, definition: Evaluation) -> bool:
        return bool(await self._call(self._store.trial_left, definition.team_id))

    async def _recover(self, definition: Evaluation) -> None:
        async with self._writing:
            await self._call(self._store.recover, definition.team_id, definition.id)
        self._errored.pop(definition.id, None)
        self._asked = {asked: at for asked, at in self._asked.items() if asked[0] != definition.id}
        self._around.metrics.count("gavel_judge_status_changes", status="active", reason=definition.status_reason or "")
        self._log.info("evaluation_recovered", evaluation_id=definition.id, was=definition.status_reason)
        self._release([definition.id])

    async def _probe(self, gate: Gate) -> None:
        try:
            known = self._users.known(gate.key)
            if known is not None:
                endpoint, model = known[1].endpoint, known[1].model
                failure = await self._judge.probe(endpoint, model)
                outcome = "answered" if failure is None else failure.kind
                count = self._around.metrics.count
                count("gavel_judge_probes", outcome=outcome)
                # While a breaker is open, probes are the only calls: without them a provider that fails is not seen.
                count("gavel_judge_calls", provider=endpoint.provider, model=model, outcome=outcome)
        finally:
            self._probing.discard(gate.key)

    # -- the executor ---------------------------------------------------------------------------------

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._around.executor, function, *arguments)

    def _spawn(self, work: Coroutine[Any, Any, Any], *, writes: bool = True) -> None:
        task = asyncio.get_running_loop().create_task(self._in_turn(work) if writes else work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_turn(self, work: Coroutine[Any, Any, Any]) -> None:
        async with self._writing:
            try:
                await work
            except StoreError as error:
                # The next failure or the next look tries again: nothing depends on this one.
                self._log.warning("status_not_written", error=str(error))
