"""Reads the decisions that were recorded about runs: `evaluation_decisions`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

DECISIONS_TABLE = "evaluation_decisions"
_MAX_DECISIONS = 100


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """Why a run was not made at a time, or had to wait.

    Attributes:
        at: when the run was due.
        decision: `not_made` or `parked`.
        version: of the definition that the run was due for; 0 if it is not known.
    """

    at: datetime
    decision: str
    reason: str
    detail: str
    version: int
    trigger: str


def find_decisions(client: Client, team_id: int, evaluation_id: str, event_uuid: str) -> list[StoredDecision]:
    """Return the decisions about the runs of an evaluation on an event, oldest first."""
    rows = client.query(
        "SELECT timestamp, decision, reason, detail, evaluation_version, trigger FROM evaluation_decisions FINAL "
        "WHERE team_id = {team:Int64} AND evaluation_id = {evaluation:String} AND target_event_id = {event:String} "
        "ORDER BY timestamp, decision LIMIT {most:UInt32}",
        parameters={"team": team_id, "evaluation": evaluation_id, "event": event_uuid, "most": _MAX_DECISIONS},
    ).result_rows
    return [StoredDecision(*row) for row in rows]
