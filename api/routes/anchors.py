"""`evaluations/{id}/trust/anchors/`: golden items that are judged again and again, to tell a drift of the judge."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.http.auth import Scoped
from api.http.one_hop import OneHopRoute
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath
from api.schemas import anchors as bodies
from api.schemas.measurements import Cost
from api.services.definitions import find
from api.services.trust import anchors
from storage.sql.api_keys import ApiKey

router = APIRouter(route_class=OneHopRoute, tags=["trust"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
Writer = Annotated[ApiKey, Scoped("evaluation:write")]


@router.get("/evaluations/{id}/trust/anchors/")
@slow
def retrieve_anchors(object_id: IdPath, caller: Reader, services: ServicesParam) -> bodies.AnchorsShown:
    """Return the anchors of an evaluation, who moved, and the newest runs and baselines; 404 without anchors."""
    return anchors.shown(services, find(services, caller, object_id))


@router.put("/evaluations/{id}/trust/anchors/")
@slow
def put_anchors(
    object_id: IdPath, body: bodies.AnchorsPut, caller: Writer, services: ServicesParam
) -> bodies.AnchorsShown | Cost:
    """Set up the anchors. Five baseline runs follow at once; then the schedule. With `dry_run`, return their cost."""
    evaluation = find(services, caller, object_id)
    schedule = anchors.planned(services, caller, evaluation, body)
    if body.dry_run:
        return anchors.cost_of(services, evaluation, schedule)
    return anchors.put(services, caller, evaluation, schedule)


@router.post("/evaluations/{id}/trust/anchors/acknowledge/")
@slow
def acknowledge_anchors(
    object_id: IdPath, caller: Writer, services: ServicesParam, body: bodies.Acknowledge | None = None
) -> bodies.AnchorsShown | Cost:
    """Take the judge as it is now: a new baseline begins, which ends an alarm, and the old one is kept."""
    evaluation = find(services, caller, object_id)
    if body is not None and body.dry_run:
        return anchors.cost_of(services, evaluation, anchors.schedule_of(services, evaluation))
    return anchors.acknowledge(services, caller, evaluation)
