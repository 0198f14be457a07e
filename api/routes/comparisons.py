"""`evaluations/{id}/comparisons/` and `evaluations/{id}/trust/runs/`: measurements that call the judge."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, status

from api.http.auth import Scoped
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath
from api.schemas import measurements as bodies
from api.services.definitions import find
from api.services.trust import measurements, outcomes, starts
from api.services.trust.shown import (
    compared_items,
    comparison_row,
    comparison_shown,
    measurement_shown,
    standing_shown,
)
from storage.sql.api_keys import ApiKey
from storage.sql.measurements import MeasurementRuns

router = APIRouter(route_class=OneHopRoute, tags=["trust"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
Writer = Annotated[ApiKey, Scoped("evaluation:write")]
ComparisonPath = Annotated[UUID, Path(description="A UUID string identifying the comparison.")]
RunPath = Annotated[UUID, Path(description="A UUID string identifying the measurement.")]


@router.post("/evaluations/{id}/comparisons/", status_code=status.HTTP_202_ACCEPTED)
@slow
def create_comparison(
    object_id: IdPath, body: bodies.ComparisonCreate, caller: Writer, services: ServicesParam
) -> bodies.ComparisonShown | bodies.Cost:
    """Let two versions judge the same generations. With `dry_run`, return calls, tokens and USD instead."""
    evaluation = find(services, caller, object_id)
    made = starts.start_comparison(services, caller, evaluation, body)
    return made if isinstance(made, bodies.Cost) else comparison_row(services, made)


@router.get("/evaluations/{id}/comparisons/")
def list_comparisons(
    object_id: IdPath, caller: Reader, services: ServicesParam, window: WindowParam
) -> Page[bodies.ComparisonShown]:
    """List the comparisons of an evaluation, newest first."""
    evaluation = find(services, caller, object_id)
    found, count = MeasurementRuns(services.database).page(
        caller.team_id, evaluation.id, starts.COMPARISONS, limit=window.limit, offset=window.offset
    )
    return window.page([comparison_row(services, run) for run in found], count)


@router.get("/evaluations/{id}/comparisons/{comparison}/")
@slow
def retrieve_comparison(
    object_id: IdPath, comparison: ComparisonPath, caller: Reader, services: ServicesParam
) -> bodies.Comparison:
    """Return a comparison with its outcome so far."""
    evaluation = find(services, caller, object_id)
    run = measurements.run_of(services, evaluation, comparison, starts.COMPARISONS)
    return comparison_shown(services, evaluation, run)


@router.get("/evaluations/{id}/comparisons/{comparison}/flips/")
@slow
def list_flips(
    object_id: IdPath, comparison: ComparisonPath, caller: Reader, services: ServicesParam, window: WindowParam
) -> Page[bodies.Flip]:
    """List the generations on which the versions disagree, with both reasonings."""
    evaluation = find(services, caller, object_id)
    run = measurements.run_of(services, evaluation, comparison, starts.COMPARISONS)
    items, rule = compared_items(services, evaluation, run)
    return window.page_of(outcomes.flips_of(services, caller.team_id, items, rule))


@router.post("/evaluations/{id}/comparisons/{comparison}/cancel/")
def cancel_comparison(
    object_id: IdPath, comparison: ComparisonPath, caller: Writer, services: ServicesParam
) -> bodies.ComparisonShown:
    """Cancel a comparison. Judgements on their way are dropped."""
    evaluation = find(services, caller, object_id)
    run = measurements.run_of(services, evaluation, comparison, starts.COMPARISONS)
    return comparison_row(services, measurements.cancel(services, caller, run))


@router.post("/evaluations/{id}/trust/runs/", status_code=status.HTTP_202_ACCEPTED)
@slow
def create_trust_run(
    object_id: IdPath, body: bodies.MeasurementRunCreate, caller: Writer, services: ServicesParam
) -> bodies.MeasurementStanding | bodies.Cost:
    """Measure a version: against a golden set, itself, attacks or its anchors. `dry_run` returns calls and cost."""
    evaluation = find(services, caller, object_id)
    made = starts.start_run(services, caller, evaluation, body)
    return made if isinstance(made, bodies.Cost) else standing_shown(services, made)


@router.get("/evaluations/{id}/trust/runs/")
def list_trust_runs(
    object_id: IdPath, caller: Reader, services: ServicesParam, window: WindowParam
) -> Page[bodies.MeasurementStanding]:
    """List the measurements of an evaluation, newest first."""
    evaluation = find(services, caller, object_id)
    found, count = MeasurementRuns(services.database).page(
        caller.team_id, evaluation.id, starts.RUNS, limit=window.limit, offset=window.offset
    )
    return window.page([standing_shown(services, run) for run in found], count)


@router.get("/evaluations/{id}/trust/runs/{run}/")
@slow
def retrieve_trust_run(object_id: IdPath, run: RunPath, caller: Reader, services: ServicesParam) -> bodies.Measurement:
    """Return a measurement with its figures so far."""
    evaluation = find(services, caller, object_id)
    found = measurements.run_of(services, evaluation, run, starts.RUNS)
    return measurement_shown(services, evaluation, found)


@router.post("/evaluations/{id}/trust/runs/{run}/cancel/")
def cancel_trust_run(
    object_id: IdPath, run: RunPath, caller: Writer, services: ServicesParam
) -> bodies.MeasurementStanding:
    """Cancel a measurement. Judgements on their way are dropped."""
    evaluation = find(services, caller, object_id)
    found = measurements.run_of(services, evaluation, run, starts.RUNS)
    return standing_shown(services, measurements.cancel(services, caller, found))
