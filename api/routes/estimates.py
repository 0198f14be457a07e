"""`evaluations/{id}/estimate`: what an evaluation would have done, and cost, over a window of the past."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.http.auth import Scoped
from api.http.errors import Invalid
from api.http.one_hop import OneHopRoute
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath
from api.schemas.actions import Estimate, EstimateRequest
from api.services import estimating
from api.services.definitions import find
from storage.sql.api_keys import ApiKey

router = APIRouter(route_class=OneHopRoute, tags=["evaluations"])


@router.post("/evaluations/{id}/estimate/")
@slow
def estimate(
    object_id: IdPath,
    body: EstimateRequest,
    caller: Annotated[ApiKey, Scoped("evaluation:read")],
    services: ServicesParam,
) -> Estimate:
    """Count how many events of a past window match and are sampled in; tokens and USD per day."""
    evaluation = find(services, caller, object_id)
    end = body.window_end or services.now()
    start = body.window_start or end - estimating.DEFAULT_WINDOW
    if start >= end:
        raise Invalid("window_start must be before window_end.", attr="window_start")
    with services.archive.client() as client:
        return estimating.estimate(services, client, evaluation, start, end)
