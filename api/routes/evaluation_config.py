"""`llm_analytics/evaluation_config`: a team's trial, its active key and its budget."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.http.auth import Scoped
from api.http.errors import Invalid, NotFound
from api.http.one_hop import OneHopRoute
from api.http.services import ServicesParam
from api.routes.provider_keys import shown
from api.schemas import provider_keys as bodies
from api.services.resources import Services
from config.definitions import Budget
from config.provider_keys import EvaluationConfig
from evaluators.llm_judge.budget import MICROS
from storage.sql.api_keys import ApiKey
from storage.sql.budgets import Budgets, team_scope
from storage.sql.provider_keys import KeyNotFound, KeyNotUsable

router = APIRouter(route_class=OneHopRoute, prefix="/llm_analytics/evaluation_config", tags=["llm_analytics"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
Writer = Annotated[ApiKey, Scoped("evaluation:write")]
BudgetWriter = Annotated[ApiKey, Scoped("llm_analytics:write")]


@router.get("/")
def retrieve_evaluation_config(caller: Reader, services: ServicesParam) -> bodies.EvaluationConfig:
    """Get the evaluation config for this team; it is made at the first time."""
    return _shown(services, services.keys.config(caller.team_id, now=services.now()))


@router.patch("/")
def update_evaluation_config(
    body: bodies.EvaluationConfigPatch, caller: BudgetWriter, services: ServicesParam
) -> bodies.EvaluationConfig:
    """Set the budget that all judges of the team share, or lift it with null."""
    budget = None if body.budget is None else body.budget.model_dump(exclude_none=True)
    config = services.keys.set_team_budget(caller.team_id, budget, actor=caller.actor, now=services.now())
    return _shown(services, config)


@router.post("/set_active_key/")
def set_active_key(body: bodies.SetActiveKey, caller: Writer, services: ServicesParam) -> bodies.EvaluationConfig:
    """Set the active provider key for evaluations: 404 if it is unknown, 400 if its state is not `ok`."""
    try:
        config = services.keys.set_active_key(caller.team_id, str(body.key_id), actor=caller.actor, now=services.now())
    except KeyNotFound as error:
        raise NotFound from error
    except KeyNotUsable as error:
        raise Invalid(str(error), code="key_not_usable", attr="key_id") from error
    return _shown(services, config)


def _shown(services: Services, config: EvaluationConfig) -> bodies.EvaluationConfig:
    active = None
    if config.active_provider_key_id is not None:
        key = services.keys.get(config.team_id, config.active_provider_key_id)
        active = shown(key, services.owners.of([key.created_by]))
    return bodies.EvaluationConfig(
        trial_eval_limit=config.trial_eval_limit,
        trial_evals_used=config.trial_evals_used,
        trial_evals_remaining=config.trial_evals_remaining,
        active_provider_key=active,
        budget=None if config.budget is None else Budget.model_validate(dict(config.budget)),
        budget_used=_used(services, config),
        created_at=config.created_at,
        updated_at=config.updated_at,
    )


def _used(services: Services, config: EvaluationConfig) -> bodies.BudgetUsed | None:
    if config.budget is None:
        return None
    scope = team_scope(config.team_id, Budget.model_validate(dict(config.budget)))
    used = Budgets(services.database).usage(scope, services.now())
    return bodies.BudgetUsed(
        usd=used.micro_usd / MICROS,
        tokens=used.tokens,
        reserved_usd=used.reserved_micro_usd / MICROS,
        reserved_tokens=used.reserved_tokens,
    )
