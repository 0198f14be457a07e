"""`evaluation_runs`: one evaluation of one event, now. Conditions, sampling and `enabled` are not asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, status

from api.http.auth import Scoped
from api.http.errors import NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.schemas import runs as bodies
from api.schemas.actions import ResultShown
from api.services.definitions import find
from api.services.manual_runs import start_run
from api.services.owners import Owner
from api.services.resources import Services
from api.services.results import shown
from api.services.verdicts import stored_rule
from conditions import EventRow
from processor.events.identity import result_uuid
from storage.clickhouse.query import PassRules
from storage.clickhouse.results import ResultSelection, find_results
from storage.clickhouse.rows import RowSelection, find_near
from storage.sql.api_keys import ApiKey
from storage.sql.evaluation_outlines import Outlines
from storage.sql.runs import ManualRun, ManualRuns

router = APIRouter(route_class=OneHopRoute, tags=["evaluation_runs"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
Writer = Annotated[ApiKey, Scoped("evaluation:write")]


@router.post("/evaluation_runs/", status_code=status.HTTP_202_ACCEPTED)
def create_evaluation_run(body: bodies.RunCreate, caller: Writer, services: ServicesParam) -> bodies.RunStarted:
    """Create a new evaluation run: puts a task on the task topic. The result comes as any other."""
    evaluation = find(services, caller, body.evaluation_id)
    row = _find_event(services, caller, body)
    run = start_run(services, caller, evaluation, row)
    return bodies.RunStarted(
        workflow_id=run.workflow_id,
        status="started",
        evaluation=bodies.RunEvaluation(id=UUID(evaluation.id), name=evaluation.name),
        target_event_id=row.uuid,
    )


@router.get("/evaluation_runs/")
def list_evaluation_runs(
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    evaluation_id: Annotated[UUID | None, Query(description="Only runs of this evaluation.")] = None,
) -> Page[bodies.RunShown]:
    """List the runs that were asked for, newest first, with their results."""
    runs, count = ManualRuns(services.database).page(
        caller.team_id,
        limit=window.limit,
        offset=window.offset,
        evaluation_id=str(evaluation_id) if evaluation_id else None,
    )
    results = _results(services, caller.team_id, runs)
    owner = services.owners.of(run.requested_by for run in runs)
    return window.page([_shown(run, results, owner) for run in runs], count)


@router.get("/evaluation_runs/{workflow_id}/")
def retrieve_evaluation_run(
    workflow_id: Annotated[str, Path(max_length=300)], caller: Reader, services: ServicesParam
) -> bodies.RunShown:
    """Return one run with its result."""
    run = ManualRuns(services.database).get(caller.team_id, workflow_id)
    if run is None:
        raise NotFound
    return _shown(run, _results(services, caller.team_id, [run]), services.owners.of([run.requested_by]))


def _find_event(services: Services, caller: ApiKey, body: bodies.RunCreate) -> EventRow:
    selection = RowSelection(caller.team_id, event=body.event, uuid=body.target_event_id, distinct_id=body.distinct_id)
    with services.archive.client() as client:
        row = find_near(client, selection, body.timestamp, body.timestamp)
    if row is None:
        raise NotFound(
            "The archive has no such event. A new event needs some seconds to arrive; check uuid and timestamp."
        )
    return row


def _results(services: Services, team_id: int, runs: list[ManualRun]) -> Mapping[str, ResultShown]:
    """Return the results of `runs` by result id, each read by the rule of its evaluation."""
    if not runs:
        return {}
    ids = tuple(result_uuid(run.workflow_id) for run in runs)
    judged_by = Outlines(services.database).some(team_id, {run.evaluation_id for run in runs})
    rules = PassRules({each.id: stored_rule(each.output_type, each.output_config) for each in judged_by})
    with services.archive.client() as client:
        found = find_results(client, ResultSelection(team_id, uuids=ids), rules, limit=len(ids))
    return {result.uuid: shown(result) for result in found}


def _shown(run: ManualRun, results: Mapping[str, ResultShown], owner: Owner) -> bodies.RunShown:
    result = results.get(result_uuid(run.workflow_id))
    status_of_run = "started" if result is None else "skipped" if result.verdict == "skipped" else "completed"
    return bodies.RunShown(
        workflow_id=run.workflow_id,
        status=status_of_run,
        evaluation=bodies.RunEvaluation(id=UUID(run.evaluation_id), name=run.evaluation_name),
        target_event_id=run.target_event_id,
        requested_at=run.requested_at,
        requested_by=owner(run.requested_by),
        result=result,
    )
