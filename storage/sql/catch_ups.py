"""Catch-ups: backfills that nobody has to ask for, of what an evaluation missed while Gavel had switched it off.

The audit trail has both ends of each absence, written in the transaction of the status change itself. So nothing else
has to be remembered: every process that runs backfills can read the absences that have ended, and a crash loses none.
An absence becomes one backfill, made by `CATCH_UP_ACTOR`, whose window ends with the absence, which identifies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row, func, or_, select

from storage.sql.audit import audit_log
from storage.sql.backfills import CATCH_UP_ACTOR, BackfillOpen, Backfills, backfills
from storage.sql.engine import Database
from storage.sql.evaluation_changes import evaluations

LONGEST = timedelta(hours=24)
"""Older events are not judged by themselves any more."""
SETTLING = timedelta(seconds=15)
"""After the return, until all processes know of it and the results of runs that were parked are stored."""
REASONS = frozenset(
    {
        "provider_key_required",
        "provider_key_deleted",
        "provider_key_invalid",
        "provider_key_permission_denied",
        "provider_key_quota_exceeded",
        "model_not_found",
        "model_not_supported",
        "no_default_model",
        "trial_limit_reached",
    }
)
"""Reasons of key, quota and model, for which Gavel switches an evaluation off and on again."""
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Absence:
    """An evaluation was off from `begun` to `ended`."""

    team_id: int
    evaluation_id: str
    begun: datetime
    ended: datetime


class CatchUps:
    """Finds absences that have ended and asks for their backfills. Belongs to one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._backfills = Backfills(database)
        self._read_to: int | None = None
        self._due: list[Absence] = []

    def ask(self, now: datetime) -> int:
        """Ask for a backfill of each absence that has ended and settled; return how many were asked for.

        One is asked for later while its evaluation is off again, or has a backfill that is not finished.

        Raises:
            StoreError: the store does not answer; nothing is lost.
        """
        self._due = [absence for absence in self._due + self._ended(now) if not self._settled(absence, now)]
        asked = 0
        for absence in list(self._due):
            version = self._ready(absence, now)
            if version is None:
                continue
            try:
                self._ask(absence, version, now)
            except BackfillOpen:
                continue
            self._due.remove(absence)
            asked += 1
        return asked

    def _settled(self, absence: Absence, now: datetime) -> bool:
        """Whether nothing is left to do: it has its backfill, is too old, or its evaluation is paused or deleted."""
        if absence.ended + LONGEST <= now:
            structlog.get_logger("gavel.backfill").warning(
                "catch_up_too_late", evaluation_id=absence.evaluation_id, ended=absence.ended.isoformat()
            )
            return True
        known, row = backfills.c, evaluations.c
        made = select(known.id).where(
            known.evaluation_id == absence.evaluation_id,
            known.created_by == CATCH_UP_ACTOR,
            known.window_end == absence.ended,
        )
        gone = select(row.id).where(row.id == absence.evaluation_id, or_(row.deleted, row.status == "paused"))
        with self._database.read() as connection:
            return any(connection.execute(query).first() is not None for query in (made, gone))

    def _ready(self, absence: Absence, now: datetime) -> int | None:
        """Return the evaluation's version if it is on and all processes know of it, else None."""
        if absence.ended + SETTLING > now:
            return None
        row = evaluations.c
        wanted = (row.id == absence.evaluation_id, row.team_id == absence.team_id, row.enabled)
        with self._database.read() as connection:
            version: int | None = connection.execute(select(row.version).where(*wanted)).scalar_one_or_none()
            return version

    def _ask(self, absence: Absence, version: int, now: datetime) -> None:
        self._backfills.create(
            team_id=absence.team_id,
            evaluation_id=absence.evaluation_id,
            evaluation_version=version,
            window_start=max(absence.begun, absence.ended - LONGEST),
            window_end=absence.ended,
            rerun_existing=False,
            actor=CATCH_UP_ACTOR,
            now=now,
        )

    def _ended(self, now: datetime) -> list[Absence]:
        """Return the absences whose end was added to the audit trail since the last call."""
        row = audit_log.c
        found: list[Absence] = []
        while True:
            with self._database.read() as connection:
                if self._read_to is None:
                    oldest = select(func.max(row.id)).where(row.at <= now - LONGEST)
                    self._read_to = connection.execute(oldest).scalar_one_or_none() or 0
                newer = (row.id > self._read_to, row.object_type == "evaluation")
                entries = connection.execute(select(audit_log).where(*newer).order_by(row.id).limit(_BATCH)).all()
                found += (
                    Absence(entry.team_id, entry.object_id, begun, entry.at)
                    for entry in entries
                    if _returns(entry.changes) and (begun := self._begun(connection, entry)) is not None
                )
            if entries:
                self._read_to = entries[-1].id
            if len(entries) < _BATCH:
                return found

    @staticmethod
    def _begun(connection: Connection, entry: Row[Any]) -> datetime | None:
        """Return when an evaluation that returns was switched off, or None if a person or its own code did that."""
        row = audit_log.c
        earlier = (
            select(row.at, row.changes)
            .where(
                row.team_id == entry.team_id,
                row.object_type == "evaluation",
                row.object_id == entry.object_id,
                row.id < entry.id,
                row.action == "status",
            )
            .order_by(row.id.desc())
            .limit(1)
        )
        before = connection.execute(earlier).one_or_none()
        if before is None or _after(before.changes, "status") != "error":
            return None
        begun: datetime = before.at
        return begun if _after(before.changes, "status_reason") in REASONS else None


def _returns(changes: dict[str, Any]) -> bool:
    """Whether a change makes an evaluation active again: by its status, or because a person enables it."""
    return _after(changes, "status") == "active" or changes.get("enabled") == [False, True]


def _after(changes: dict[str, Any], field: str) -> Any:
    return changes[field][1] if field in changes else None
