"""The emitted signal of a drift: one `$ai_evaluation_drift` event for each answer to "who moved?"."""

from __future__ import annotations

from datetime import datetime

from processor.events.beside import beside_event
from processor.events.identity import url_uuid
from processor.events.output import Output
from processor.events.task import event_key
from storage.clickhouse.times import time_text
from storage.drift import Drift
from storage.sql.anchors import AnchorBaseline

DRIFT_EVENT = "$ai_evaluation_drift"
SIGNALLED = ("judge_moved", "product_moved")
"""The answers that are emitted."""


def drift_output(team_id: int, baseline: AnchorBaseline, drift: Drift, at: datetime, topic: str) -> Output:
    """Return the event of an answer. Its id follows from the baseline and its cause, so a repeat is the same event.

    Args:
        at: when the answer was found, aware.
    """
    moved = drift.answer == "judge_moved"
    cause = baseline.alarm_at.isoformat() if moved and baseline.alarm_at else drift.shift.id if drift.shift else ""
    name = f"gavel://drift/{baseline.evaluation_id}/{baseline.number}/{drift.answer}/{cause}"
    properties = {
        "$ai_evaluation_id": baseline.evaluation_id,
        "$ai_evaluation_version": baseline.version,
        "$ai_evaluation_fingerprint": baseline.fingerprint,
        "$ai_drift_answer": drift.answer,
        "$ai_drift_statistic": drift.statistic,
        "$ai_drift_baseline": baseline.number,
        "$ai_drift_moved_since": None if drift.moved_since is None else drift.moved_since.isoformat(),
        "$ai_drift_shift_id": None if drift.shift is None else drift.shift.id,
    }
    evaluation = baseline.evaluation_id
    made = beside_event(DRIFT_EVENT, url_uuid(name), team_id, time_text(at), properties, distinct_id=evaluation)
    return made.output("drift", topic, event_key(team_id, evaluation))
