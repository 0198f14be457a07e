"""`evaluations/test_hog`: Hog code on the newest generations; nothing is stored."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.http.auth import Scoped
from api.http.one_hop import OneHopRoute
from api.http.services import ServicesParam
from api.http.slow import slow
from api.schemas.actions import HogTest, HogTestResult
from api.services.samples import read_conditions
from api.services.trials import try_hog
from storage.sql.api_keys import ApiKey

router = APIRouter(route_class=OneHopRoute, tags=["evaluations"])


@router.post("/evaluations/test_hog/")
@slow
def test_hog(
    body: HogTest, caller: Annotated[ApiKey, Scoped("evaluation:read")], services: ServicesParam
) -> HogTestResult:
    """Test Hog evaluation code against sample events without saving."""
    conditions = read_conditions(body.conditions, services.database.limits)
    trial = try_hog(services, caller.team_id, body.source, conditions, body.sample_count, allows_na=body.allows_na)
    return HogTestResult(results=[each.shown for each in trial.tried], message=trial.message)
