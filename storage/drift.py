"""Decides who moved, the judge or the product, from the anchors and the live pass rate together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from quality.drift import Detector, DriftAnswer, who_moved
from storage.sql.anchors import AnchorBaseline, AnchorRun, Anchors
from storage.sql.engine import Database
from storage.sql.shifts import Shifts, StoredShift

DriftStanding = DriftAnswer | Literal["collecting"]
SHIFT_STANDS = timedelta(days=7)
"""How long a shift of the live pass rate asks for an explanation."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The answer to "who moved?" for one version, and its grounds.

    Attributes:
        answer: `collecting` until the baseline is complete.
        statistic: of the test; None while it is collecting.
        shift: the live rate's newest shift since the baseline began, not older than `SHIFT_STANDS`.
        moved_since: when the newest run began whose statistic spoke against a drift, if the judge moved. A shift of the
            live rate since then is not the product's.
    """

    answer: DriftStanding
    statistic: float | None
    shift: StoredShift | None
    moved_since: datetime | None


def detector_of(baseline: AnchorBaseline) -> Detector | None:
    """Return the state of the test, or None while the baseline is collecting."""
    if baseline.null_rate is None or baseline.evidence is None:
        return None
    return Detector(baseline.null_rate, tuple(baseline.evidence), baseline.runs)


def drift_of(
    baseline: AnchorBaseline | None, runs: Sequence[AnchorRun], shifts: Sequence[StoredShift], now: datetime
) -> Drift:
    """Return who moved.

    Args:
        runs: of the baseline. shifts: of the evaluation. Both in any order.
    """
    detector = None if baseline is None else detector_of(baseline)
    if baseline is None or detector is None:
        return Drift("collecting", None, None, None)
    since = max(baseline.started_at, now - SHIFT_STANDS)
    standing = [each for each in shifts if each.fingerprint == baseline.fingerprint and each.window_start >= since]
    shift = max(standing, key=lambda each: each.window_start, default=None)
    counted = [each for each in runs if each.counted and each.statistic is not None]
    if shift is not None:
        counted = [each for each in counted if each.begun_at >= shift.window_start]
    statistic = detector.statistic if counted else None
    alarmed = baseline.alarm_at is not None
    answer = "judge_moved" if alarmed else who_moved(shift is not None, statistic)
    return Drift(answer, detector.statistic, shift, baseline.good_at if alarmed else None)


def drift_in(database: Database, team_id: int, evaluation_id: str, now: datetime) -> Drift:
    """Return who moved, as the store knows it."""
    anchors = Anchors(database)
    baseline = anchors.baseline(evaluation_id)
    if baseline is None:
        return drift_of(None, (), (), now)
    runs = anchors.runs(evaluation_id, baseline=baseline.number)
    shifts = Shifts(database).find(team_id, evaluation_id, after=baseline.started_at)
    return drift_of(baseline, runs, shifts, now)
