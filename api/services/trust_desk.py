"""Trust in a judge, measurements and comparisons, as the console shows and starts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.schemas import measurements as bodies
from api.schemas.trust import Cascade, Trust
from api.services.event_access import need_events
from api.services.forms import checked
from api.services.resources import Services
from api.services.trust import cascades, measurements, outcomes, pairs, report, starts
from api.services.trust.shown import (
    compared_items,
    comparison_row,
    comparison_shown,
    measurement_shown,
    standing_shown,
)
from api.services.versions import version_of
from config.definitions import Evaluation
from config.strategies import Strategy
from quality.drift import ALARM, SUSPECT
from storage.sql.anchors import AnchorRun, Anchors
from storage.sql.api_keys import ApiKey
from storage.sql.golden_sets import GoldenSets
from storage.sql.measurements import MeasurementKind, MeasurementRuns

_LISTED, _LISTED_OF_TEAM = 20, 50
_SETS = 200
_LISTED_RUNS: tuple[MeasurementKind, ...] = ("measure", "consistency")
"""The list of an evaluation's measurements leaves out those that a schedule starts every day."""


@dataclass(frozen=True, slots=True)
class GoldenChoice:
    """A frozen version of a golden set that an evaluation can be measured with."""

    golden_set: str
    version: int
    name: str


def trust_of(
    services: Services, caller: ApiKey, evaluation: Evaluation, *, version: int | None, start: datetime, end: datetime,
    by: str,
) -> Trust:  # fmt: skip
    """Return how far a version can be believed over a window. Errors as the API's."""
    need_events(caller, by, but=report.FREE_SLICES)
    return report.trust(services, evaluation, version=version, start=start, end=end, sliced_by=by or None)


def has_labels(services: Services, evaluation: Evaluation) -> bool:
    """Return whether anybody has labelled the evaluation's present question."""
    return pairs.has_labels(services, evaluation, evaluation.question)


def runs_of(services: Services, evaluation: Evaluation) -> list[bodies.MeasurementStanding]:
    """Return the newest measurements of an evaluation."""
    store = MeasurementRuns(services.database)
    found, _ = store.page(evaluation.team_id, evaluation.id, _LISTED_RUNS, limit=_LISTED, offset=0)
    return [standing_shown(services, run) for run in found]


def measurements_of_team(services: Services, team_id: int) -> list[bodies.MeasurementStanding]:
    """Return the newest measurements and comparisons of all evaluations of a team, at most 50."""
    found = MeasurementRuns(services.database).of_team(team_id, limit=_LISTED_OF_TEAM)
    return [standing_shown(services, run) for run in found]


def open_measurements(services: Services, team_id: int) -> list[bodies.MeasurementStanding]:
    """Return those of `measurements_of_team` that are not finished."""
    return [each for each in measurements_of_team(services, team_id) if each.state in ("pending", "running")]


def comparisons_of(services: Services, evaluation: Evaluation) -> list[bodies.ComparisonShown]:
    """Return the newest comparisons of an evaluation."""
    store = MeasurementRuns(services.database)
    found, _ = store.page(evaluation.team_id, evaluation.id, starts.COMPARISONS, limit=_LISTED, offset=0)
    return [comparison_row(services, run) for run in found]


def comparison_between(services: Services, evaluation: Evaluation, a: int, b: int) -> bodies.ComparisonShown | None:
    """Return the newest comparison of two versions of an evaluation, in either order, or None."""
    found = comparisons_of(services, evaluation)
    return next((each for each in found if {each.version_a, each.version_b} == {a, b}), None)


def golden_choices(services: Services, evaluation: Evaluation) -> list[GoldenChoice]:
    """Return the newest frozen version of each golden set of the evaluation's present question."""
    store = GoldenSets(services.database)
    sets, _ = store.page(evaluation.team_id, limit=_SETS, offset=0)
    found = []
    for golden in sets:
        if golden.evaluation_id != evaluation.id or golden.question != evaluation.question:
            continue
        whole = [each.version for each in store.versions(evaluation.team_id, golden.id) if not each.incomplete]
        if whole:
            found.append(GoldenChoice(golden.id, max(whole), golden.name))
    return found


def start_run(
    services: Services, caller: ApiKey, evaluation: Evaluation, fields: Mapping[str, Any]
) -> bodies.MeasurementStanding | bodies.Cost:
    """Start a measurement of one version, or return its cost if `fields` has `dry_run`. Raises `Invalid`."""
    made = starts.start_run(services, caller, evaluation, checked(bodies.MeasurementRunCreate, _filled(fields)))
    return made if isinstance(made, bodies.Cost) else standing_shown(services, made)


def start_comparison(
    services: Services, caller: ApiKey, evaluation: Evaluation, fields: Mapping[str, Any]
) -> bodies.ComparisonShown | bodies.Cost:
    """Start a comparison of two versions, or return its cost if `fields` has `dry_run`. Raises `Invalid`."""
    made = starts.start_comparison(services, caller, evaluation, checked(bodies.ComparisonCreate, _filled(fields)))
    return made if isinstance(made, bodies.Cost) else comparison_row(services, made)


def run_of(services: Services, evaluation: Evaluation, run_id: str) -> bodies.Measurement:
    """Return a measurement with its figures so far. Raises `NotFound`."""
    return measurement_shown(services, evaluation, measurements.run_of(services, evaluation, run_id, starts.RUNS))


def comparison_of(services: Services, evaluation: Evaluation, run_id: str) -> bodies.Comparison:
    """Return a comparison with its outcome so far. Raises `NotFound`."""
    return comparison_shown(services, evaluation, measurements.run_of(services, evaluation, run_id, starts.COMPARISONS))


def flips_of(services: Services, evaluation: Evaluation, run_id: str) -> list[bodies.Flip]:
    """Return the generations on which two versions disagree. Raises `NotFound`."""
    run = measurements.run_of(services, evaluation, run_id, starts.COMPARISONS)
    items, rule = compared_items(services, evaluation, run)
    return outcomes.flips_of(services, evaluation.team_id, items, rule)


def cancel(services: Services, caller: ApiKey, evaluation: Evaluation, run_id: str) -> str:
    """Cancel a measurement or a comparison and return its state. Raises `NotFound` and `Conflict`."""
    run = measurements.run_of(services, evaluation, run_id, (*starts.COMPARISONS, *starts.RUNS))
    return measurements.cancel(services, caller, run).state


CASCADE_TARGET = 0.9
"""Agreement that a proposed threshold reaches with its lower bound."""
DRIFT_LEVELS = ((SUSPECT, "suspect"), (ALARM, "alarm"))
"""Values of the drift statistic from which it says something."""


def drift_runs(services: Services, evaluation: Evaluation, version: int) -> list[AnchorRun]:
    """Return the counted runs of the anchors since the newest baseline of a version, oldest first."""
    store = Anchors(services.database)
    base = next((each for each in store.baselines(evaluation.id) if each.version == version), None)
    runs = [] if base is None else store.runs(evaluation.id, baseline=base.number)
    return [each for each in reversed(runs) if each.counted and each.statistic is not None]


def strategy_of(services: Services, evaluation: Evaluation, version: int) -> Strategy | None:
    """Return how several models judge together in a version; None if one model or code judges. Raises `Invalid`."""
    configuration = version_of(services, evaluation, version).draft.model_configuration
    return None if configuration is None else configuration.strategy


def cascade_of(services: Services, evaluation: Evaluation, *, version: int, start: datetime, end: datetime) -> Cascade:
    """Return the figures of each threshold of a cascade over a window. Errors as `cascades.cascade`."""
    return cascades.cascade(services, evaluation, version=version, window=(start, end), target=CASCADE_TARGET)


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a form that somebody filled in."""
    return {name: value for name, value in fields.items() if value not in ("", None)}


def moved_of(services: Services, evaluation: Evaluation) -> dict[str, list[datetime]]:
    """Return for each fingerprint when its judge moved: since the last good run before each alarm of its anchors."""
    found: dict[str, list[datetime]] = {}
    for base in Anchors(services.database).baselines(evaluation.id):
        if base.alarm_at is not None:
            found.setdefault(base.fingerprint, []).append(base.good_at or base.alarm_at)
    return found
