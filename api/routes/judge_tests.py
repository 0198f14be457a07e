"""`evaluations/test_judge`: a prompt and a model on the newest generations; nothing is stored."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.http.auth import Scoped
from api.http.one_hop import OneHopRoute
from api.http.services import ServicesParam
from api.http.slow import slow
from api.schemas.actions import JudgeTest, JudgeTestResult
from api.services.definitions import parse
from api.services.samples import read_conditions
from api.services.trials import try_judge
from storage.sql.api_keys import ApiKey

router = APIRouter(route_class=OneHopRoute, tags=["evaluations"])


@router.post("/evaluations/test_judge/")
@slow
def test_judge(
    body: JudgeTest, caller: Annotated[ApiKey, Scoped("evaluation:write")], services: ServicesParam
) -> JudgeTestResult:
    """Test a prompt and a model against sample events without saving. Calls the model, on the team's account."""
    raw = {"name": "test", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": body.prompt}}
    given = body.given()
    raw |= {name: given[name] for name in ("output_type", "output_config") if given.get(name) is not None}
    raw |= {"model_configuration": given["model_configuration"]} if "model_configuration" in given else {}
    draft = parse(raw)
    conditions = read_conditions(body.conditions, services.database.limits)
    trial = try_judge(services, caller.team_id, draft, conditions, body.sample_count)
    return JudgeTestResult(results=[each.shown for each in trial.tried], message=trial.message)
