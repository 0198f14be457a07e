"""One evaluation of one event, now: puts a task on the task topic, whose result comes as any other."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from api.http.errors import Unavailable
from api.services.resources import Services
from api.services.task_sender import TaskNotSent
from conditions import EventRow
from config.definitions import Evaluation
from processor.events.identity import run_key
from processor.events.task import Task
from storage.sql.api_keys import ApiKey
from storage.sql.runs import ManualRun, ManualRuns, RunExists


def start_run(services: Services, caller: ApiKey, evaluation: Evaluation, row: EventRow) -> ManualRun:
    """Ask the judge role for a run. Blocks until the brokers have the task.

    Raises:
        Unavailable: Kafka did not take it.
    """
    run = _remember(services, caller, evaluation, row)
    task = Task(
        team_id=caller.team_id,
        evaluation_id=evaluation.id,
        event_uuid=row.uuid,
        run_key=run.workflow_id,
        condition_id="",
        started_at=run.requested_at.isoformat(),
        trigger="manual",
        revision=evaluation.revision,
        version=evaluation.version,
    )
    try:
        services.tasks.send(task, msgspec.json.encode(row))
    except TaskNotSent as error:
        ManualRuns(services.database).remove(run, now=services.now())
        raise Unavailable("Kafka did not take the task; try again later.", code="kafka_unavailable") from error
    return run


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
