"""Thresholds of a cascade, from its own results and people's labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from api.http.errors import Invalid
from api.schemas import trust as bodies
from api.services.label_consensus import consensus_of
from api.services.resources import Services
from api.services.trust.extra import extra_needed
from api.services.trust.report import DEFAULT_WINDOW
from api.services.versions import Version, version_of
from config.definitions import Evaluation
from config.strategies import HogStep
from quality.calibration import fit_curve, reliability
from quality.cascade import CascadeItem, ThresholdFigures, cheapest, thresholds
from storage.clickhouse.steps import sample_steps
from storage.clickhouse.verdicts import WindowOf
from storage.sql.labels import Labels

_RUNS = 20_000
"""Runs that the figures are over; more make their intervals no shorter."""
_LABELS_DECIDE = 40
"""Labelled runs from which people decide what a good threshold is, and the last step no longer does."""
_CURVE = tuple(at / 20 for at in range(10, 21))
_NOT_APPLICABLE = "not_applicable"


def cascade(
    services: Services, evaluation: Evaluation, *, version: int | None, window: tuple[datetime | None, datetime | None],
    target: float,
) -> bodies.Cascade:  # fmt: skip
    """Return the figures of each threshold over a window; none for an evaluation without a cascade.

    Raises:
        Invalid: the evaluation lacks that version, or the window does not start before its end.
        Unavailable: ClickHouse does not answer, or a package of the extra `quality` is not installed.
    """
    chosen = version_of(services, evaluation, version)
    before = window[1] or services.now()
    after = window[0] or before - DEFAULT_WINDOW
    if after >= before:
        raise Invalid("window_start must be before window_end.", attr="window_start")
    configuration = chosen.draft.model_configuration
    strategy = None if configuration is None else configuration.strategy
    items: list[CascadeItem] = []
    if strategy is not None and strategy.kind == "cascade":
        labels = _labels(services, evaluation, chosen)
        first = 2 if isinstance(strategy.steps[0], HogStep) else 1
        selected = WindowOf(evaluation.team_id, evaluation.id, chosen.fingerprint, after, before)
        with services.archive.client() as client:
            found = [
                item_of(steps, first, len(strategy.steps), labels.get(event))
                for event, steps in sample_steps(client, selected, _RUNS)
            ]
        items = [item for item in found if item is not None]
    figures = thresholds(items)
    labelled = sum(item.label is not None for item in items)
    proposed = cheapest(figures, target, by_labels=labelled >= _LABELS_DECIDE)
    return bodies.Cascade(
        evaluation=UUID(evaluation.id),
        version=chosen.number,
        escalate_below=None if strategy is None else strategy.escalate_below,
        target=target,
        runs=len(items),
        labelled=labelled,
        decided_by="labels" if labelled >= _LABELS_DECIDE else "last_step",
        proposed=None if proposed is None else proposed.threshold,
        thresholds=[_shown(each) for each in figures],
        calibration=_calibration(items),
    )


def item_of(steps: Sequence[Mapping[str, Any]], first: int, last: int, label: Hashable | None) -> CascadeItem | None:
    """Return one run for the statistics, or None if no model was asked.

    Args:
        steps: `$ai_evaluation_steps` of its result.
        first, last: numbers of the first and the last step that ask a model.
    """
    opening = [step for step in steps if step.get("step") == first]
    closing = [step for step in steps if step.get("step") == last]
    if not opening:
        return None
    verdict, share = _majority(opening)
    confidence = share if len(opening) > 1 else opening[0].get("confidence")
    later = [step for step in steps if isinstance(step.get("step"), int) and step["step"] > first]
    return CascadeItem(
        confidence=float(confidence) if isinstance(confidence, int | float) else None,
        first=verdict,
        last=_majority(closing)[0] if closing else None,
        label=label,
        first_cost=sum(float(step.get("cost_usd") or 0.0) for step in opening),
        last_cost=sum(float(step.get("cost_usd") or 0.0) for step in later) if closing else None,
    )


def _majority(steps: Sequence[Mapping[str, Any]]) -> tuple[Hashable | None, float | None]:
    votes = Counter(_class_of(step["verdict"]) for step in steps if step.get("verdict") is not None)
    for verdict, count in votes.most_common(1):
        if 2 * count > votes.total():
            return verdict, count / votes.total()
    return None, None


def _class_of(verdict: Any) -> Hashable:
    return frozenset(map(str, verdict)) if isinstance(verdict, list) else verdict


def _labels(services: Services, evaluation: Evaluation, version: Version) -> dict[str, Hashable]:
    current = Labels(services.database).current(evaluation.team_id, evaluation.id, version.question)
    usable = consensus_of([label for label in current if not label.after_reveal])
    return {
        target: _NOT_APPLICABLE if found.verdict is None else found.verdict
        for target, found in usable.items()
        if found.resolved
    }


def _calibration(items: Sequence[CascadeItem]) -> bodies.CalibrationShown:
    """Return how well the confidence of the first step fits people's labels."""
    known = [item for item in items if None not in (item.label, item.first, item.confidence)]
    probabilities = [item.confidence for item in known if item.confidence is not None]
    outcomes = [item.first == item.label for item in known]
    found = reliability(probabilities, outcomes)
    with extra_needed():
        curve = fit_curve(probabilities, outcomes)
    return bodies.CalibrationShown(
        state="uncalibrated" if curve is None else curve.method,
        n=len(known),
        brier=None if found is None else found.brier,
        ece=None if found is None else found.ece,
        curve=[] if curve is None else [(each, curve(each)) for each in _CURVE],
    )


def _shown(found: ThresholdFigures) -> bodies.CascadeThreshold:
    return bodies.CascadeThreshold(
        threshold=found.threshold,
        escalated=found.escalated,
        usd=found.cost,
        with_last=bodies.Figure.of(found.with_last),
        with_labels=bodies.Figure.of(found.with_labels),
    )
