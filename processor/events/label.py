"""The emitted label: one `$ai_evaluation_label` event for one label of one person."""

from __future__ import annotations

from typing import Any

from processor.events.beside import beside_event
from processor.events.identity import url_uuid
from processor.events.output import Output
from processor.events.task import event_key
from storage.clickhouse.times import time_text
from storage.sql.labels import Label

LABEL_EVENT = "$ai_evaluation_label"


def label_output(label: Label, topic: str) -> Output:
    """Return the event of a label for `topic`. Its id follows from the label's, so a repeat is the same event."""
    properties = {
        "$ai_label_id": label.id,
        "$ai_evaluation_id": label.evaluation_id,
        "$ai_label_question": label.question,
        "$ai_target_event_id": label.target_event_id,
        "$ai_label_comment": label.comment,
        "$ai_label_labeller": label.labeller,
        "$ai_label_source": label.source,
        "$ai_label_adjudicates": label.adjudicates,
        "$ai_label_after_reveal": label.after_reveal,
        **_verdict(label),
    }
    if label.seconds is not None:
        properties["$ai_label_seconds"] = label.seconds
    uuid = url_uuid(f"gavel://label/{label.id}")
    made = beside_event(LABEL_EVENT, uuid, label.team_id, time_text(label.created_at), properties)
    return made.output("label", topic, event_key(label.team_id, label.target_event_id))


def _verdict(label: Label) -> dict[str, Any]:
    verdict = label.verdict
    if verdict.get("unsure"):
        return {"$ai_label_unsure": True}
    found: dict[str, Any] = {"$ai_label_applicable": bool(verdict.get("applicable", True))}
    for name in ("result", "score", "categories"):
        if name in verdict:
            found[f"$ai_label_{name}"] = verdict[name]
    return found
