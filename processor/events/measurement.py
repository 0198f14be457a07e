"""The emitted result of a measurement: an `$ai_evaluation_measurement` event, which no pass rate ever sees."""

from __future__ import annotations

from typing import Any

import orjson

from conditions import EventRow
from evaluators.generation import Generation
from evaluators.verdict import JudgeUsage, Skip, Verdict
from processor.events.identity import url_uuid
from processor.events.output import Output
from processor.events.result import ResultTemplate, build_result
from processor.events.task import Task, event_key

MEASUREMENT_EVENT = "$ai_evaluation_measurement"


def measurement_uuid(run_id: str, item: str, version: int, repeat: int) -> str:
    """Return the id of one result of a measurement: the same for every retry."""
    return url_uuid(f"gavel://measurement/{run_id}/{item}/{version}/{repeat}")


def measurement_output(
    topic: str, template: ResultTemplate, task: Task, row: EventRow, generation: Generation,
    outcome: Verdict | Skip, usage: JudgeUsage | None = None, *, not_made: str = "",
) -> Output:  # fmt: skip
    """Return the result event of a measurement's task for `topic`.

    Args:
        not_made: why the run was not made, in the place of the reason of a skip.
    """
    result = build_result(template, task, row, generation, outcome, usage)
    outer: dict[str, Any] = orjson.loads(result.value)
    properties: dict[str, Any] = orjson.loads(outer["properties"])
    properties |= {
        "$ai_measurement_run_id": task.measurement_id,
        "$ai_measurement_kind": task.measurement_kind,
        "$ai_measurement_item": task.item,
        "$ai_measurement_repeat": task.repeat,
    }
    if not_made:
        properties["$ai_evaluation_skip_reason"] = not_made
    outer |= {
        "uuid": measurement_uuid(task.measurement_id, task.item, task.version, task.repeat),
        "event": MEASUREMENT_EVENT,
        "properties": orjson.dumps(properties).decode(),
    }
    headers: list[tuple[str, str | bytes | None]] = [
        ("event", MEASUREMENT_EVENT.encode()),
        ("team_id", str(task.team_id).encode()),
        ("evaluation_id", task.evaluation_id.encode()),
    ]
    return Output("measurement", topic, event_key(task.team_id, task.event_uuid), orjson.dumps(outer), headers)
