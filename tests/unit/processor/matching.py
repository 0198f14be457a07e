"""Event matchers over definitions of a test's own, without a store or a broker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prometheus_client import CollectorRegistry

from config.definitions import Evaluation, parse_draft
from config.snapshot import Snapshot, compile_team
from config.store.changes import TeamDefinitions
from processor.event_matcher import EventMatcher
from processor.hog_status import HogFailures
from processor.ledger import Output
from processor.metrics import Metrics
from tests.services.records import Record

NOW = datetime(2026, 3, 2, tzinfo=UTC)
HOG = {"name": "short", "evaluation_type": "hog", "evaluation_config": {"source": "return length(output) < 100"}}


def snapshot_of(*drafts: dict[str, Any]) -> Snapshot:
    evaluations = []
    for number, fields in enumerate(drafts):
        raw = {"enabled": True, **HOG, "name": f"evaluation {number}", **fields}
        draft = parse_draft(raw)
        identity = {
            "id": str(uuid5(NAMESPACE_URL, str(number))),
            "team_id": 1,
            "version": 1,
            "revision": 1,
            "fingerprint": "f",
            "status": "active",
            "created_at": NOW,
            "updated_at": NOW,
        }
        evaluations.append(Evaluation.model_validate({**draft.model_dump(), **identity}))
    team, broken = compile_team(1, TeamDefinitions(tuple(evaluations), {}))
    assert not broken
    return Snapshot(1, {1: team})


def event_matcher() -> EventMatcher:
    return EventMatcher(
        role="matcher",
        results_topic="results",
        tasks_topic="tasks",
        dead_letters_topic="dead",
        hog_time_limit_s=5.0,
        max_message_bytes=1 << 20,
        metrics=Metrics(CollectorRegistry()),
        failures=HogFailures(lambda *_: None),
        now=lambda: NOW,
    )


def outputs_of(snapshot: Snapshot, *rows: bytes) -> list[Output]:
    return event_matcher().take([Record(row) for row in rows], snapshot, refuse=lambda *_: None)
