"""Replays of the runs that were not made because a budget was used up, over the ranges that judges remembered."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec

from processor.replay.plan import ReplayPlan
from processor.replay.sources import ReplayError
from storage.sql.budgets import Budgets, BudgetSkip
from storage.sql.engine import Database

_NEXT = timedelta(microseconds=1)


def plan_over_budget(database: Database, evaluation_id: str, *, topic: str, rate: float | None) -> ReplayPlan:
    """Return a replay over all events of an evaluation that were over budget.

    It reads the archive, which is ordered by the time of events, as the ranges are. Runs between them that were made
    have their results and are left alone.

    Raises:
        ReplayError: no run of this evaluation was over budget since the last fill.
    """
    skips = Budgets(database).ranges_over_budget(evaluation_id)
    if not skips:
        raise ReplayError(f"no run of evaluation {evaluation_id} is known to have been over budget; nothing to fill")
    after: datetime = min(skip.first_event_at for skip in skips)
    before: datetime = max(skip.last_event_at for skip in skips) + _NEXT
    return ReplayPlan(
        id=uuid4().hex[:12],
        source="clickhouse",
        topic=topic,
        after=after.isoformat(),
        before=before.isoformat(),
        evaluations=[skips[0].evaluation_id],
        teams=[skips[0].team_id],
        rate=rate,
        over_budget=[json.loads(msgspec.json.encode(skip)) for skip in skips],
    )


def forget_filled(database: Database, plan: ReplayPlan) -> None:
    """Forget the ranges that a finished replay has filled. One that has grown since stays and can be filled next."""
    Budgets(database).forget_skips([msgspec.convert(each, BudgetSkip) for each in plan.over_budget])
