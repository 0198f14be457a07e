"""Which evaluations use which gate (key and model), and when the obstacle of each went away."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from config.definitions import Evaluation
from config.model_resolution import ResolvedModel
from evaluators.llm_judge.gates import INITIAL_LIMIT, GateKey, Gates


class GateUsers:
    """Belongs to one event loop; `slots`, `released_ms` and `answered_ms` may be called from any thread.

    Args:
        now_ms: epoch milliseconds.
    """

    def __init__(self, gates: Gates, now_ms: Callable[[], int]) -> None:
        self._gates = gates
        self._now_ms = now_ms
        self._users: dict[GateKey, set[tuple[int, str]]] = {}
        self._known: dict[GateKey, tuple[int, ResolvedModel]] = {}
        self._gates_of: dict[str, tuple[GateKey, ...]] = {}
        self._released: dict[str, int] = {}
        self._used_keys: set[str] = set()

    def note(self, definition: Evaluation, resolved: ResolvedModel) -> GateKey:
        """Remember that runs of `definition` pass the gates of `resolved`, and return the key of the first."""
        keys: list[GateKey] = []
        for model in resolved.all:
            key = (model.endpoint.identity(), model.model)
            keys.append(key)
            self._users.setdefault(key, set()).add((definition.team_id, definition.id))
            self._known[key] = (definition.team_id, model)
            if model.endpoint.key_id is not None:
                self._used_keys.add(model.endpoint.key_id)
        self._gates_of[definition.id] = tuple(keys)
        return keys[0]

    def of(self, key: GateKey) -> set[tuple[int, str]]:
        """Return team and id of each evaluation whose runs passed a gate."""
        return self._users.get(key, set())

    def known(self, key: GateKey) -> tuple[int, ResolvedModel] | None:
        """Return the team and the endpoint and model of a gate; None if no run of an evaluation passed it."""
        return self._known.get(key)

    def take_used_keys(self) -> list[str]:
        """Return the ids of provider keys that were used since the last call."""
        used, self._used_keys = sorted(self._used_keys), set()
        return used

    def slots(self, evaluation_id: str) -> tuple[GateKey | None, float]:
        """Return the first gate that an evaluation's runs pass, None before the first run, and its slots."""
        key = next(iter(self._gates_of.get(evaluation_id, ())), None)
        return key, INITIAL_LIMIT if key is None else self._gates.slots(key)

    def release(self, evaluation_ids: Iterable[str]) -> None:
        """Note that nothing hinders runs of these evaluations any more."""
        now_ms = self._now_ms()
        for evaluation_id in evaluation_ids:
            self._released[evaluation_id] = now_ms

    def released_ms(self, evaluation_id: str) -> int:
        """See `processor.judge.parked.Releases`."""
        return self._released.get(evaluation_id, 0)

    def answered_ms(self, evaluation_id: str) -> int:
        """See `processor.judge.parked.Releases`."""
        # A run needs all models of its strategy, so that the one which answered last longest ago decides.
        keys = self._gates_of.get(evaluation_id, ())
        ago_s = max(map(self._gates.answered_ago_s, keys), default=float("inf"))
        return 0 if ago_s == float("inf") else int(self._now_ms() - ago_s * 1000)
