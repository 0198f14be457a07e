"""Event matchers over definitions of a test's own, without a store or a broker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prometheus_client import CollectorRegistry

from conditions import RowError
from config.definitions import Evaluation, parse_draft
from processor.events.message import Message
from processor.events.output import Output
from processor.hog_failures import HogFailures
from processor.matcher.budget import TeamBudget
from processor.matcher.event_matcher import Destinations, EventMatcher, InlineHog
from processor.metrics import Metrics
from storage.snapshot import Snapshot, compile_team
from storage.sql.changes import TeamDefinitions
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


TO = Destinations(results="results", tasks="tasks", dead_letters="dead", max_message_bytes=10 << 20)


def event_matcher(budget: TeamBudget | None = None, *, judge_historical: bool = True) -> EventMatcher:
    return EventMatcher(
        "matcher",
        TO,
        inline=InlineHog(5.0, HogFailures(lambda *_: None), budget or TeamBudget()),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: NOW,
        judge_historical=judge_historical,
    )


def outputs_of(snapshot: Snapshot, *rows: bytes, refused: list[bytes] | None = None) -> list[Output]:
    """The outputs of these rows. Refused rows are added to `refused`."""

    def refuse(message: Message, _error: RowError) -> None:
        if refused is not None:
            refused.append(message.value() or b"")

    return event_matcher().take([Record(row) for row in rows], snapshot, refuse)
