"""What lasting failures do to evaluations and keys, and how both recover by themselves.

When a gate (key and model) opens for a reason of the key or the model, the key's state and the status of the
evaluations that use it say so. From then on the gate is probed on a timer. When a probe, a task or another process
shows that it works again, the key is `ok`, the evaluations are `active`, and what was parked runs before its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol

import structlog

from config.definitions import Evaluation, StatusReason
from config.model_resolution import ResolvedModel, Unresolved
from config.snapshot import Snapshot
from config.store.engine import StoreError
from config.store.provider_keys import KeyState
from evaluators.llm_judge.failures import REASONS, FailureKind
from evaluators.llm_judge.gates import INITIAL_LIMIT, Gate, GateKey
from evaluators.llm_judge.judge import Judge
from processor.judge_keys import KeyDirectory
from processor.metrics import Metrics

_OURS = frozenset(
    {"provider_key_required", "provider_key_deleted", "no_default_model", "trial_limit_reached", "budget_exhausted"}
)
"""Reasons that are gone as soon as a key and a model can be found."""
_CAUSES: dict[str, FailureKind] = {reason: kind for kind, reason in REASONS.items()}
_CAUSES["provider_key_rate_limited"] = "rate_limited"
_KEY_STATES: dict[FailureKind, KeyState] = {"unauthorized": "invalid", "forbidden": "error", "quota": "error"}
_ASK_AGAIN_S = 10.0
_TOUCH_EVERY_S = 60.0


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


class Snapshots(Protocol):
    """Where the definitions come from."""

    @property
    def current(self) -> Snapshot | None:
        """The newest definitions, or None before the first load."""


class Statuses:
    """Keeps statuses true. Belongs to one event loop; `released_ms` and `slots` may be read from any thread.

    Args:
        now_ms: epoch milliseconds.
        wake: called when parked runs may be due before their time.
    """

    def __init__(
        self,
        store: StatusStore,
        snapshots: Snapshots,
        directory: KeyDirectory,
        judge: Judge,
        *,
        executor: Executor | None,
        metrics: Metrics,
        now_ms: Callable[[], int],
        random: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._directory = directory
        self._judge = judge
        self._executor = executor
        self._metrics = metrics
        self._now_ms = now_ms
        self._random = random
        self._wake = wake
        self._users: dict[GateKey, set[tuple[int, str]]] = {}
        self._known: dict[GateKey, tuple[int, ResolvedModel]] = {}
        self._gate_of: dict[str, GateKey] = {}
        self._verified: set[GateKey] = set()
        self._probing: set[GateKey] = set()
        self._asked: dict[tuple[str, str], float] = {}
        self._errored: dict[str, Evaluation] = {}
        self._errored_revision: int | None = None
        self._released: dict[str, int] = {}
        self._used_keys: set[str] = set()
        self._touched_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("gavel.judge")
        judge.gates.opened = self._on_opened
        judge.gates.closed = self._on_closed

    def released_ms(self, evaluation_id: str) -> int:
        """See `processor.parked.Releases`."""
        return self._released.get(evaluation_id, 0)

    def note_use(self, definition: Evaluation, resolved: ResolvedModel) -> None:
        """Remember that runs of `definition` pass the gate of `resolved`."""
        key = (resolved.endpoint.identity(), resolved.model)
        self._users.setdefault(key, set()).add((definition.team_id, definition.id))
        self._known[key] = (definition.team_id, resolved)
        self._gate_of[definition.id] = key
        if resolved.endpoint.key_id is not None:
            self._used_keys.add(resolved.endpoint.key_id)

    def slots(self, evaluation_id: str) -> tuple[GateKey | None, float]:
        """Return the gate that an evaluation's runs passed last, None before the first, and its slots. Any thread."""
        key = self._gate_of.get(evaluation_id)
        return key, INITIAL_LIMIT if key is None else self._judge.gates.slots(key)

    # -- downwards ------------------------------------------------------------------------------------

    def set_error(self, definition: Evaluation, reason: StatusReason, detail: str) -> None:
        """Switch an evaluation off because of `reason`. Asked again for the same, it is patient."""
        now = asyncio.get_running_loop().time()
        asked = self._asked.get((definition.id, reason), float("-inf"))
        if definition.status != "active" or now - asked < _ASK_AGAIN_S:
            return
        self._asked[definition.id, reason] = now
        self._spawn(self._set_error(definition.team_id, definition.id, reason, detail))

    async def _set_error(self, team_id: int, evaluation_id: str, reason: StatusReason, detail: str) -> None:
        await self._call(self._store.set_error, team_id, evaluation_id, reason, detail)
        self._metrics.count("gavel_judge_status_changes", status="error", reason=reason)
        self._log.warning("evaluation_stopped", evaluation_id=evaluation_id, team_id=team_id, reason=reason)

    def _on_opened(self, gate: Gate) -> None:
        self._verified.discard(gate.key)
        known = self._known.get(gate.key)
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
        snapshot = self._snapshots.current
        for team_id, evaluation_id in self._users.get(gate.key, ()):
            found = snapshot.find(team_id, evaluation_id) if snapshot is not None else None
            if found is not None:
                self.set_error(found.definition, breaker.reason, breaker.detail)  # type: ignore[arg-type]  # REASONS holds status reasons

    # -- upwards --------------------------------------------------------------------------------------

    def _on_closed(self, gate: Gate) -> None:
        self._verified.add(gate.key)
        known = self._known.get(gate.key)
        self._log.info("breaker_closed", key=known[1].endpoint.key_name if known else None, model=gate.key[1])
        if known is not None:
            team_id, resolved = known
            key_id = resolved.endpoint.key_id
            key = self._directory.key(team_id, key_id) if key_id is not None else None
            if key is not None and key.key.state != "ok":
                self._spawn(self._call(self._store.set_key_state, team_id, key.key.id, "ok", None))
        self._release(evaluation_id for _, evaluation_id in self._users.get(gate.key, ()))

    def _release(self, evaluation_ids: Any) -> None:
        now_ms = self._now_ms()
        for evaluation_id in evaluation_ids:
            self._released[evaluation_id] = now_ms
        self._wake()

    async def run(self, interval_s: float = 1.0) -> None:
        """Recover what can be, for ever."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.tick()
            except StoreError as error:
                self._log.warning("recovery_waits", error=str(error))

    async def tick(self) -> None:
        """Look once at all evaluations in error and all open gates."""
        snapshot = self._snapshots.current
        if snapshot is None:
            return
        await self._directory.ensure(snapshot.revision)
        self._find_errored(snapshot)
        for definition in list(self._errored.values()):
            await self._try_to_recover(definition)
        for gate in self._judge.gates:
            if gate.breaker.probe_due() and gate.key in self._known and gate.key not in self._probing:
                self._probing.add(gate.key)
                self._spawn(self._probe(gate))
        await self._touch_keys()
        self._metrics.set("gavel_judge_breakers_open", sum(g.breaker.state != "closed" for g in self._judge.gates))
        self._metrics.set("gavel_judge_in_flight", self._judge.gates.in_flight)
        self._metrics.set("gavel_judge_waiting", self._judge.gates.waiting())

    async def _touch_keys(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._used_keys and now - self._touched_s >= _TOUCH_EVERY_S:
            used, self._used_keys, self._touched_s = sorted(self._used_keys), set(), now
            await self._call(self._store.touch, used)

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
        if recovered:  # by us, by another process, or by a person
            self._release(recovered)

    async def _try_to_recover(self, definition: Evaluation) -> None:
        try:
            resolved = self._directory.resolve(definition, ignore_state=True)
        except Unresolved:
            return
        if definition.status_reason in _OURS:
            if resolved.endpoint.key_type == "trial" and not await self._trial_left(definition):
                return
            await self._recover(definition)
            return
        gate = self._judge.gate_of(resolved.endpoint, resolved.model)
        self.note_use(definition, resolved)
        if gate.breaker.state != "closed":
            return  # its probe decides
        if gate.key in self._verified:
            await self._recover(definition)
        else:
            # Known to be broken from the store only: after a restart, or since a key or a model was replaced.
            cause = _CAUSES[definition.status_reason or ""]
            gate.breaker.force_open(cause, definition.status_reason_detail or "", probe_in_s=self._random())

    async def _trial_left(self, definition: Evaluation) -> bool:
        return bool(await self._call(self._store.trial_left, definition.team_id))

    async def _recover(self, definition: Evaluation) -> None:
        await self._call(self._store.recover, definition.team_id, definition.id)
        self._errored.pop(definition.id, None)
        self._metrics.count("gavel_judge_status_changes", status="active", reason=definition.status_reason or "")
        self._log.info("evaluation_recovered", evaluation_id=definition.id, was=definition.status_reason)
        self._release([definition.id])

    async def _probe(self, gate: Gate) -> None:
        try:
            _, resolved = self._known[gate.key]
            failure = await self._judge.probe(resolved.endpoint, resolved.model)
            self._metrics.count("gavel_judge_probes", outcome="answered" if failure is None else failure.kind)
        finally:
            self._probing.discard(gate.key)

    # -- the executor ---------------------------------------------------------------------------------

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except StoreError as error:
            # The next failure or the next look tries again: nothing depends on this one.
            self._log.warning("status_not_written", error=str(error))
