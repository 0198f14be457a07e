"""Plans canaries from golden items, and begins those that go with the anchors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from config.canaries import wish_of
from config.definitions import Evaluation
from config.outputs import OutputConfig
from evaluators.injection.canaries import MAX_TWINS, canary_items, read_canary
from quality.consensus import vote_of
from storage.clickhouse.query import PassRule
from storage.golden_items import without_examples
from storage.sql.anchors import AnchorSchedule
from storage.sql.engine import Database
from storage.sql.golden_sets import GoldenItem, GoldenSets
from storage.sql.measurements import MeasuredItem, MeasurementKind, MeasurementRun, MeasurementRuns, NewMeasurement

KIND: MeasurementKind = "canaries"
EVERY = timedelta(hours=23)
"""Canaries go with the anchors once a day, however often those run: a run has nearly 200 calls."""


@dataclass(frozen=True, slots=True)
class Canaries:
    """The items of a run, and the golden items that the attacks are planted in.

    Attributes:
        params: the verdict that the attacks ask for, and the rule by which it passes.
    """

    items: tuple[MeasuredItem, ...]
    twins: tuple[GoldenItem, ...]
    params: dict[str, Any]


def planned_canaries(golden: Sequence[GoldenItem], output: OutputConfig) -> Canaries | None:
    """Return a run over golden items, or None: no rule says what passes, or no item must fail."""
    wish, rule = wish_of(output), PassRule.of(output)
    twins = _failing(golden, rule)
    if wish is None or not twins:
        return None
    by_key = {each.key: each for each in twins}
    items: list[MeasuredItem] = []
    for item in canary_items(list(by_key)):
        canary = read_canary(item)
        if canary is not None:
            items.append(MeasuredItem(item, by_key[canary.key].event["uuid"]))
    return Canaries(tuple(items), twins, {"good": wish.good, "answer": wish.answer, "rule": asdict(rule)})


def anchored_canaries(database: Database, schedule: AnchorSchedule, evaluation: Evaluation) -> Canaries | None:
    """Return the run that goes with the anchors, or None: the schedule wants none, or there is nothing to attack."""
    if not schedule.canaries or evaluation.prompt is None:
        return None
    stored = GoldenSets(database).items(schedule.team_id, schedule.golden_set, schedule.golden_set_version)
    return planned_canaries(without_examples(stored, [evaluation.prompt]), evaluation.output_config)


def begin_canaries(
    database: Database, schedule: AnchorSchedule, evaluation: Evaluation, *, actor: str, now: datetime
) -> MeasurementRun | None:
    """Ask for the canaries of the present version, or return None: there are none, or they ran within `EVERY`."""
    runs = MeasurementRuns(database)
    newest, _ = runs.page(schedule.team_id, evaluation.id, (KIND,), limit=1, offset=0)
    if any(evaluation.version in each.versions and each.created_at > now - EVERY for each in newest):
        return None
    found = anchored_canaries(database, schedule, evaluation)
    if found is None:
        return None
    golden = {"golden_set": schedule.golden_set, "golden_set_version": schedule.golden_set_version}
    return runs.create(
        NewMeasurement(
            team_id=schedule.team_id,
            evaluation_id=evaluation.id,
            kind=KIND,
            versions=[evaluation.version],
            repeats=1,
            params={**golden, **found.params},
            items=found.items,
        ),
        actor=actor,
        now=now,
    )


def _failing(golden: Sequence[GoldenItem], rule: PassRule) -> tuple[GoldenItem, ...]:
    found = []
    for item in golden:
        human = vote_of(item.expected)
        if isinstance(human, bool | float | frozenset) and rule.passes(human) is False:
            found.append(item)
    return tuple(found[:MAX_TWINS])
