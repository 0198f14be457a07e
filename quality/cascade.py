"""Which confidence is enough? Thresholds of a cascade, from its runs and people's labels.

An item has the confidence and the verdict of the first step, and the verdict of the last one where it was asked. Under
a threshold the first verdict stands if its confidence reaches it, else the last one. An item whose last step was not
asked says nothing about thresholds above its confidence, so the agreement there is over the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from quality.intervals import Estimate, rate

THRESHOLDS = (0.0, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 1.0)
"""0 never escalates a verdict with a confidence; 1 escalates each but the certain."""


@dataclass(frozen=True, slots=True)
class CascadeItem:
    """One run of a cascade.

    Attributes:
        confidence: of the first step; None if it gave none, which always escalates.
        first, last: verdicts; None for a skip, and for a last step that was not asked.
        label: of people, or None.
        first_cost, last_cost: US dollars; `last_cost` is None where the later steps were not asked.
    """

    confidence: float | None
    first: Hashable | None
    last: Hashable | None
    label: Hashable | None
    first_cost: float
    last_cost: float | None


@dataclass(frozen=True, slots=True)
class ThresholdFigures:
    """A threshold.

    Attributes:
        escalated: share of the items that go on. cost: US dollars per item; None if nothing says what going on costs.
        with_last: agreement with the last step, over the items that it judged. with_labels: with people.
    """

    threshold: float
    escalated: float
    cost: float | None
    with_last: Estimate | None
    with_labels: Estimate | None


def thresholds(items: Sequence[CascadeItem], grid: Sequence[float] = THRESHOLDS) -> list[ThresholdFigures]:
    """Return the figures of each threshold, in the order of the grid; none without items."""
    if not items:
        return []
    known = [item.last_cost for item in items if item.last_cost is not None]
    further = sum(known) / len(known) if known else None
    return [_figures(items, threshold, further) for threshold in grid]


def cheapest(found: Sequence[ThresholdFigures], target: float, *, by_labels: bool) -> ThresholdFigures | None:
    """Return the cheapest threshold whose agreement reaches `target` with its lower bound, or None.

    Args:
        by_labels: whether the agreement with people decides, or that with the last step.
    """
    good = []
    for each in found:
        agreement = each.with_labels if by_labels else each.with_last
        if agreement is not None and agreement.interval.low >= target:
            good.append(each)
    return min(good, key=lambda each: (each.escalated, each.threshold), default=None)


def _goes_on(item: CascadeItem, threshold: float) -> bool:
    return item.first is None or item.confidence is None or item.confidence < threshold


def _figures(items: Sequence[CascadeItem], threshold: float, further: float | None) -> ThresholdFigures:
    on = [_goes_on(item, threshold) for item in items]
    verdicts = [item.last if goes else item.first for item, goes in zip(items, on, strict=True)]
    compared = [(item.last, verdict) for item, verdict in zip(items, verdicts, strict=True) if item.last is not None]
    labelled = [
        (item.label, verdict)
        for item, verdict in zip(items, verdicts, strict=True)
        if item.label is not None and verdict is not None
    ]
    escalated = sum(on) / len(items)
    first = sum(item.first_cost for item in items) / len(items)
    cost = first if not escalated else None if further is None else first + escalated * further
    return ThresholdFigures(threshold, escalated, cost, _agreement(compared), _agreement(labelled))


def _agreement(pairs: Sequence[tuple[Hashable | None, Hashable | None]]) -> Estimate | None:
    return rate(sum(one == other for one, other in pairs), len(pairs))
