"""The moves in a team: judges that moved by their drift anchors, and pass rates that shifted by the live windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.services.resources import Services
from api.services.team_outlines import TeamOutlines
from storage.drift import SHIFT_STANDS
from storage.sql.anchors import Anchors
from storage.sql.shifts import Shifts, StoredShift

_QUIET = ("steady", "collecting")


@dataclass(frozen=True, slots=True)
class Move:
    """An evaluation whose judge or whose pass rate moved.

    Attributes:
        answer: who moved by the anchors (`judge_moved`, `suspect`, …); empty for an evaluation without anchors, and
            where they say nothing.
        shift: the newest shift of the pass rate that still stands, or None.
    """

    id: str
    name: str
    answer: str
    shift: StoredShift | None

    @property
    def before(self) -> float | None:
        """The pass rate before the shift."""
        found = self.shift
        return found.passed_before / found.decided_before if found and found.decided_before else None

    @property
    def after(self) -> float | None:
        """The pass rate after the shift."""
        found = self.shift
        return found.passed_after / found.decided_after if found and found.decided_after else None


def moves_of(services: Services, team_id: int, outlines: TeamOutlines, now: datetime) -> list[Move]:
    """Return the evaluations that moved, moved judges first, then the newest shift."""
    answers = {
        each.evaluation_id: each.answer
        for each in Anchors(services.database).of_team(team_id)
        if each.answer not in _QUIET
    }
    shifts: dict[str, StoredShift] = {}
    for shift in Shifts(services.database).of_team(team_id, after=now - SHIFT_STANDS):
        shifts.setdefault(shift.evaluation_id, shift)
    found = [
        Move(each.id, each.name, answers.get(each.id, ""), shifts.get(each.id))
        for each in outlines.in_order(dict.fromkeys((*answers, *shifts)))
    ]
    found.sort(key=lambda each: each.shift.window_start if each.shift else now, reverse=True)
    return sorted(found, key=lambda each: each.answer != "judge_moved")
