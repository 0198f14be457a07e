"""The decision that a run was not made, or not yet: one `$ai_evaluation_decision` event beside the results.

A decision that follows from the event and the definition alone (it did not match, or was sampled out) is not recorded,
because `gavel why` computes it again. One that depends on the moment (a budget, a pause, a key) is.
"""

from __future__ import annotations

from typing import Final

from processor.events.beside import beside_event
from processor.events.generation import clickhouse_time
from processor.events.identity import url_uuid
from processor.events.output import Output
from processor.events.task import Task

DECISION_EVENT: Final = "$ai_evaluation_decision"
MAX_DETAIL_CHARS: Final = 500


def decision_output(task: Task, decision: str, reason: str, detail: str, topic: str) -> Output:
    """Return the event of a decision about a task's run for `topic`.

    Its id follows from the run, the decision and the reason, and its time from the task: a repeat is the same event.

    Args:
        decision: `not_made`, or `parked` for a run that waits.
        detail: for a person; cut to `MAX_DETAIL_CHARS`.
    """
    properties = {
        "$ai_evaluation_id": task.evaluation_id,
        "$ai_target_event_id": task.event_uuid,
        "$ai_decision": decision,
        "$ai_decision_reason": reason,
        "$ai_decision_detail": detail[:MAX_DETAIL_CHARS],
        "$ai_evaluation_version": task.version,
        "$ai_evaluation_trigger": task.trigger,
    }
    uuid = url_uuid(f"gavel://decision/{task.run_key}/{decision}/{reason}")
    made = beside_event(DECISION_EVENT, uuid, task.team_id, clickhouse_time(task.started_at), properties)
    return made.output("decision", topic, task.key())
