"""From stored evaluations to what the API shows, with the names of keys and people, in a constant number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.schemas import evaluations as bodies
from api.schemas.parts import User
from api.services.owners import Owners
from config.definitions import Evaluation, to_raw
from storage.recent import Recent
from storage.sql.evaluation_memory import RememberedState, is_small, state_of
from storage.sql.provider_keys import ProviderKeys

_STORED = ("id", "status", "status_reason", "status_reason_detail", "version", "question", "created_at", "updated_at")
_MOST = 1_000

_Shown = tuple[RememberedState, str | None]
"""A view depends on the evaluation's state, and on the name of its provider key, which may be changed."""


class EvaluationViews:
    """Evaluations as the API shows them; remembers the last ones."""

    def __init__(self, owners: Owners, keys: ProviderKeys) -> None:
        self._owners = owners
        self._keys = keys
        self._known: Recent[_Shown, bodies.Evaluation] = Recent(_MOST)

    def of(self, team_id: int, found: Sequence[Evaluation]) -> list[bodies.Evaluation]:
        """Return views of `found`, all of one team. Two queries at the most, however many there are."""
        owner = self._owners.of(evaluation.created_by for evaluation in found)
        key_ids = {key_id for evaluation in found if (key_id := _key_id(evaluation)) is not None}
        names = self._keys.names(team_id, key_ids) if key_ids else {}
        shown: list[bodies.Evaluation] = []
        for evaluation in found:
            name = names.get(_key_id(evaluation) or "")
            known = self._known.get((state_of(evaluation), name))
            if known is None:
                known = _view(evaluation, name, owner(evaluation.created_by))
                if is_small(evaluation):
                    self._known.keep((state_of(evaluation), name), known)
            shown.append(known)
        return shown


def _key_id(evaluation: Evaluation) -> str | None:
    chosen = evaluation.model_configuration
    return str(chosen.provider_key_id) if chosen and chosen.provider_key_id else None


def _view(evaluation: Evaluation, key_name: str | None, owner: User | None) -> bodies.Evaluation:
    chosen = evaluation.model_configuration
    model: dict[str, Any] | None = None
    if chosen is not None:
        key_id = chosen.provider_key_id
        model = {
            "provider": chosen.provider,
            "model": chosen.model,
            "provider_key_id": key_id,
            "provider_key_name": key_name,
        }
        if chosen.strategy is not None:
            model["strategy"] = chosen.strategy.model_dump(mode="json")
    return bodies.Evaluation.model_validate(
        {
            **to_raw(evaluation),
            **{name: getattr(evaluation, name) for name in _STORED},
            "model_configuration": model,
            "created_by": owner,
        }
    )
