"""Writes a shift where readers find it: as the event `$ai_evaluation_shift`, and as a row of the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from processor.events.beside import BesideEvent, beside_event
from processor.events.identity import url_uuid
from reports.events import SendEvent
from reports.windows.watch import ShiftFound
from storage.clickhouse.times import time_text
from storage.sql.engine import Database
from storage.sql.shifts import Shifts, StoredShift

SHIFT_EVENT = "$ai_evaluation_shift"


def stored(found: ShiftFound) -> StoredShift:
    """Return the row of a shift. Its id follows from the version and the window, so a repetition has the same."""
    version, shift = found.version, found.shift
    name = f"{version.team_id}/{version.evaluation_id}/{version.fingerprint}/{found.minute_s}"
    return StoredShift(
        id=url_uuid(f"gavel://evaluation-shift/{name}"),
        team_id=version.team_id,
        evaluation_id=version.evaluation_id,
        evaluation_version=version.number,
        fingerprint=version.fingerprint,
        direction=shift.direction,
        window_start=datetime.fromtimestamp(found.minute_s, UTC),
        passed_before=shift.before.passed,
        decided_before=shift.before.decided,
        passed_after=shift.after.passed,
        decided_after=shift.after.decided,
        statistic=shift.statistic,
    )


def shift_event(shift: StoredShift) -> BesideEvent:
    """Return the record of the results topic."""
    properties = {
        "$ai_evaluation_id": shift.evaluation_id,
        "$ai_evaluation_version": shift.evaluation_version,
        "$ai_evaluation_fingerprint": shift.fingerprint,
        "$ai_shift_direction": shift.direction,
        "$ai_shift_window_start": shift.window_start.isoformat(),
        "$ai_shift_passed_before": shift.passed_before,
        "$ai_shift_decided_before": shift.decided_before,
        "$ai_shift_passed_after": shift.passed_after,
        "$ai_shift_decided_after": shift.decided_after,
        "$ai_shift_statistic": shift.statistic,
    }
    at = time_text(shift.window_start)
    return beside_event(SHIFT_EVENT, shift.id, shift.team_id, at, properties, distinct_id=shift.evaluation_id)


class ShiftOutlet:
    """Writes shifts. It blocks, and raises if the store or Kafka does not take them."""

    def __init__(self, database: Database, send: SendEvent) -> None:
        self._shifts = Shifts(database)
        self._send = send

    def __call__(self, shifts: Sequence[ShiftFound], /) -> None:
        """Write shifts; writing one again changes nothing, because its id is the same.

        Raises:
            StoreError, NotSent: they are to be written again.
        """
        found = [stored(shift) for shift in shifts]
        self._shifts.add(found)
        log = structlog.get_logger("gavel.windows")
        for each in found:
            log.warning(
                "pass_rate_shifted",
                role="reports",
                team_id=each.team_id,
                evaluation_id=each.evaluation_id,
                version=each.evaluation_version,
                direction=each.direction,
                before=round(each.passed_before / max(1, each.decided_before), 3),
                after=round(each.passed_after / max(1, each.decided_after), 3),
            )
        for shift in found:
            self._send(shift_event(shift), shift.evaluation_id)
