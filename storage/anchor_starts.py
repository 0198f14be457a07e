"""Begins runs of drift anchors: for the schedule, and for a person who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from config.definitions import Evaluation
from quality.anchors import FEWEST
from storage.golden_items import chosen_anchors, measured_items, without_examples
from storage.sql.anchors import AnchorBaseline, Anchors, AnchorSchedule, closed_by_version
from storage.sql.engine import Database
from storage.sql.golden_sets import GoldenItem, GoldenSets
from storage.sql.measurements import MeasurementRun, MeasurementRuns, NewMeasurement


class NoAnchors(ValueError):
    """A schedule that cannot run; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that was asked for, and the baseline that it belongs to."""

    run: MeasurementRun
    baseline: AnchorBaseline


def anchors_of(database: Database, schedule: AnchorSchedule, evaluation: Evaluation) -> list[GoldenItem]:
    """Return the items that a run judges.

    Items of persons that were erased are gone, and the others go on: each is compared with itself.

    Raises:
        NoAnchors: there are too few.
    """
    stored = GoldenSets(database).items(schedule.team_id, schedule.golden_set, schedule.golden_set_version)
    found = chosen_anchors(without_examples(stored, [evaluation.prompt or ""]), schedule.size)
    if len(found) < FEWEST:
        raise NoAnchors(
            f"Version {schedule.golden_set_version} of the golden set has {len(found)} items that can be measured "
            f"with, and anchors need {FEWEST}; add items and freeze it again."
        )
    return found


def begin_run(
    database: Database, schedule: AnchorSchedule, evaluation: Evaluation, *, actor: str, now: datetime
) -> Begun | None:
    """Ask for a run of the anchors by the present version, or return None if one is under way.

    Another version than that of the baseline, or other anchors, begin a new baseline first.

    Raises:
        NoAnchors: there are too few items.
    """
    items = anchors_of(database, schedule, evaluation)
    anchors = Anchors(database)
    run_id = str(uuid4())
    if not anchors.begin(schedule.evaluation_id, run_id, now=now):
        return None
    baseline = anchors.baseline(schedule.evaluation_id)
    if baseline is None or closed_by_version(baseline, evaluation.fingerprint, schedule):
        baseline = anchors.renew(schedule, evaluation.version, evaluation.fingerprint, actor=None, now=now)
    run = MeasurementRuns(database).create(
        NewMeasurement(
            team_id=schedule.team_id,
            evaluation_id=schedule.evaluation_id,
            kind="anchors",
            versions=[evaluation.version],
            repeats=1,
            params={
                "golden_set": schedule.golden_set,
                "golden_set_version": schedule.golden_set_version,
                "baseline": baseline.number,
            },
            items=measured_items(items),
            run_id=run_id,
        ),
        actor=actor,
        now=now,
    )
    return Begun(run, baseline)
