"""`llm_analytics/evaluation_config`: a team's trial and its active key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.auth import Scoped
from api.errors import Invalid, NotFound
from api.owners import owners
from api.routes.provider_keys import shown
from api.schemas import provider_keys as bodies
from api.services import Services, ServicesParam
from config.store.api_keys import ApiKey
from config.store.provider_keys import EvaluationConfig, KeyNotFound, KeyNotUsable

router = APIRouter(prefix="/llm_analytics/evaluation_config", tags=["llm_analytics"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
Writer = Annotated[ApiKey, Scoped("evaluation:write")]


@router.get("/")
def retrieve_evaluation_config(caller: Reader, services: ServicesParam) -> bodies.EvaluationConfig:
    """Get the evaluation config for this team; it is made at the first time."""
    return _shown(services, services.judging.keys.config(caller.team_id, now=services.now()))


@router.post("/set_active_key/")
def set_active_key(body: bodies.SetActiveKey, caller: Writer, services: ServicesParam) -> bodies.EvaluationConfig:
    """Set the active provider key for evaluations: 404 if it is unknown, 400 if its state is not `ok`."""
    try:
        config = services.judging.keys.set_active_key(caller.team_id, str(body.key_id), now=services.now())
    except KeyNotFound as error:
        raise NotFound from error
    except KeyNotUsable as error:
        raise Invalid(str(error), code="key_not_usable", attr="key_id") from error
    return _shown(services, config)


def _shown(services: Services, config: EvaluationConfig) -> bodies.EvaluationConfig:
    active = None
    if config.active_provider_key_id is not None:
        key = services.judging.keys.get(config.team_id, config.active_provider_key_id)
        active = shown(key, owners(services, [key.created_by]))
    return bodies.EvaluationConfig(
        trial_eval_limit=config.trial_eval_limit,
        trial_evals_used=config.trial_evals_used,
        trial_evals_remaining=config.trial_evals_remaining,
        active_provider_key=active,
        created_at=config.created_at,
        updated_at=config.updated_at,
    )
