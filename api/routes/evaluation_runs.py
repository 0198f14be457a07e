"""`evaluation_runs`: one evaluation of one event, now. Conditions, sampling and `enabled` are not asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query, status

from api.auth import Scoped
from api.errors import NotFound, Unavailable
from api.owners import Owner, owners
from api.pagination import Page, WindowParam
from api.routes.evaluations import find
from api.routes.results import shown
from api.schemas import runs as bodies
from api.schemas.actions import ResultShown
from api.services import Services, ServicesParam
from api.task_sender import TaskNotSent
from conditions import EventRow
from config.clickhouse.results import Selection, find_results
from config.clickhouse.rows import RowSelection, newest_rows
from config.definitions import Evaluation
from config.store.api_keys import ApiKey
from config.store.runs import ManualRun, ManualRuns, RunExists
from processor.events.identity import result_uuid, run_key
from processor.events.task import Task

router = APIRouter(tags=["evaluation_runs"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
Writer = Annotated[ApiKey, Scoped("evaluation:write")]

_NEAR = timedelta(days=1)


@router.post("/evaluation_runs/", status_code=status.HTTP_202_ACCEPTED)
def create_evaluation_run(body: bodies.RunCreate, caller: Writer, services: ServicesParam) -> bodies.RunStarted:
    """Create a new evaluation run: puts a task on the task topic. The result comes as any other."""
    evaluation = find(services, caller, body.evaluation_id)
    row = _find_event(services, caller, body)
    run = _remember(services, caller, evaluation, row)
    task = Task(
        team_id=caller.team_id,
        evaluation_id=evaluation.id,
        event_uuid=row.uuid,
        run_key=run.workflow_id,
        condition_id="",
        started_at=run.requested_at.isoformat(),
        trigger="manual",
    )
    try:
        services.tasks.send(task, msgspec.json.encode(row))
    except TaskNotSent as error:
        ManualRuns(services.database).remove(caller.team_id, run.workflow_id)
        raise Unavailable("Kafka did not take the task; try again later.", code="kafka_unavailable") from error
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
) -> Page[bodies.Run]:
    """List the runs that were asked for, newest first, with their results."""
    runs, count = ManualRuns(services.database).page(
        caller.team_id,
        limit=window.limit,
        offset=window.offset,
        evaluation_id=str(evaluation_id) if evaluation_id else None,
    )
    results = _results(services, caller.team_id, runs)
    owner = owners(services, (run.requested_by for run in runs))
    return window.page([_shown(run, results, owner) for run in runs], count)


@router.get("/evaluation_runs/{workflow_id}/")
def retrieve_evaluation_run(
    workflow_id: Annotated[str, Path(max_length=300)], caller: Reader, services: ServicesParam
) -> bodies.Run:
    """Return one run and what came of it."""
    run = ManualRuns(services.database).get(caller.team_id, workflow_id)
    if run is None:
        raise NotFound
    return _shown(run, _results(services, caller.team_id, [run]), owners(services, [run.requested_by]))


def _find_event(services: Services, caller: ApiKey, body: bodies.RunCreate) -> EventRow:
    """Return the event, looked for near its time first: that reads one month of the archive instead of all."""
    everywhere = RowSelection(caller.team_id, event=body.event, uuid=body.target_event_id, distinct_id=body.distinct_id)
    near = replace(everywhere, after=body.timestamp - _NEAR, before=body.timestamp + _NEAR)
    with services.archive.client() as client:
        for selection in (near, everywhere):
            row = next(newest_rows(client, selection, page=1), None)
            if row is not None:
                return row
    raise NotFound("There is no such event in the archive.")


def _remember(services: Services, caller: ApiKey, evaluation: Evaluation, row: EventRow) -> ManualRun:
    now = services.now()
    while True:
        key = run_key(evaluation.evaluation_type, evaluation.id, row.uuid, manual_at_ms=int(now.timestamp() * 1000))
        run = ManualRun(
            caller.team_id, key, evaluation.id, evaluation.name, row.uuid, requested_at=now, requested_by=caller.actor
        )
        try:
            ManualRuns(services.database).add(run)
        except RunExists:
            # Each request is a run of its own, also two of the same millisecond.
            now += timedelta(milliseconds=1)
            continue
        return run


def _results(services: Services, team_id: int, runs: list[ManualRun]) -> Mapping[str, ResultShown]:
    """Return the results of `runs` by result id, in one query."""
    if not runs:
        return {}
    ids = tuple(result_uuid(run.workflow_id) for run in runs)
    with services.archive.client() as client:
        found = find_results(client, Selection(team_id, uuids=ids), limit=len(ids))
    return {result.uuid: shown(result) for result in found}


def _shown(run: ManualRun, results: Mapping[str, ResultShown], owner: Owner) -> bodies.Run:
    result = results.get(result_uuid(run.workflow_id))
    status_of_run = "started" if result is None else "skipped" if result.verdict == "skipped" else "completed"
    return bodies.Run(
        workflow_id=run.workflow_id,
        status=status_of_run,
        evaluation=bodies.RunEvaluation(id=UUID(run.evaluation_id), name=run.evaluation_name),
        target_event_id=run.target_event_id,
        requested_at=run.requested_at,
        requested_by=owner(run.requested_by),
        result=result,
    )
