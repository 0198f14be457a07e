"""`evaluations/{id}/trust/`: how far the judge of an evaluation can be believed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.http.auth import Scoped
from api.http.one_hop import OneHopRoute
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath, read_moment
from api.schemas import trust as bodies
from api.services.definitions import find
from api.services.event_access import need_events
from api.services.trust import cascades, report
from storage.sql.api_keys import ApiKey

router = APIRouter(route_class=OneHopRoute, tags=["trust"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
_Moment = Annotated[str | None, Query(max_length=64)]


async def _window(
    services: ServicesParam, window_start: _Moment = None, window_end: _Moment = None
) -> tuple[datetime | None, datetime | None]:
    now = services.now()
    return (
        None if window_start is None else read_moment(window_start, "window_start", now=now),
        None if window_end is None else read_moment(window_end, "window_end", now=now),
    )


VersionQuery = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="A version; the present one if left out.")]
WindowOfTrust = Annotated[tuple[datetime | None, datetime | None], Depends(_window)]


@router.get("/evaluations/{id}/trust/")
@slow
def retrieve_trust(
    object_id: IdPath,
    caller: Reader,
    services: ServicesParam,
    window: WindowOfTrust,
    version: VersionQuery = None,
    sliced_by: Annotated[
        str | None,
        Query(
            alias="slice",
            min_length=1,
            max_length=200,
            description="model, prompt_version, condition, output_length, or, with the scope query:read, a property.",
        ),
    ] = None,
) -> bodies.Trust:
    """Return agreement with people and the corrected pass rate of one version; figures of versions are never mixed."""
    need_events(caller, sliced_by, but=report.FREE_SLICES)
    evaluation = find(services, caller, object_id)
    start, end = window
    return report.trust(services, evaluation, version=version, start=start, end=end, sliced_by=sliced_by)


@router.get("/evaluations/{id}/trust/cascade/")
@slow
def retrieve_cascade(
    object_id: IdPath,
    caller: Reader,
    services: ServicesParam,
    window: WindowOfTrust,
    version: VersionQuery = None,
    target: Annotated[
        float, Query(gt=0, lt=1, description="Agreement that the proposed threshold must reach with its lower bound.")
    ] = 0.9,
) -> bodies.Cascade:
    """Return what each threshold of a cascade escalates, costs and gets right, and the cheapest one that will do."""
    evaluation = find(services, caller, object_id)
    return cascades.cascade(services, evaluation, version=version, window=window, target=target)
