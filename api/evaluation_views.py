"""From stored evaluations to what the API shows, with the names of keys and people, in a constant number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.owners import owners
from api.schemas import evaluations as bodies
from api.services import Services
from config.definitions import Evaluation, to_raw


def views(services: Services, team_id: int, found: Sequence[Evaluation]) -> list[bodies.Evaluation]:
    """Return `found`, all of one team, as the API shows them. Two queries at the most, however many there are."""
    owner = owners(services, (evaluation.created_by for evaluation in found))
    key_ids = {
        str(evaluation.model_configuration.provider_key_id)
        for evaluation in found
        if evaluation.model_configuration and evaluation.model_configuration.provider_key_id
    }
    names = services.judging.key_names(team_id, key_ids) if key_ids else {}
    return [
        bodies.Evaluation.model_validate(
            {
                **to_raw(evaluation),
                **{name: getattr(evaluation, name) for name in _STORED},
                "model_configuration": _model(evaluation, names),
                "created_by": owner(evaluation.created_by),
            }
        )
        for evaluation in found
    ]


_STORED = ("id", "status", "status_reason", "status_reason_detail", "version", "created_at", "updated_at")


def _model(evaluation: Evaluation, names: Mapping[str, str]) -> dict[str, Any] | None:
    chosen = evaluation.model_configuration
    if chosen is None:
        return None
    key_id = chosen.provider_key_id
    return {
        "provider": chosen.provider,
        "model": chosen.model,
        "provider_key_id": key_id,
        "provider_key_name": names.get(str(key_id)) if key_id else None,
    }
