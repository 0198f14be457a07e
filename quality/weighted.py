"""Rates and means over labels that were drawn with unequal, known probabilities.

A queue that is stratified by the judge's verdict or score draws some results more often than others, so each label
counts 1/probability of being drawn (Horvitz and Thompson, JASA 1952), as a share of all of them (Hájek). Intervals of
rates are MOVER over the strata, for the reason that `quality.stratified` gives: the variance of a stratum without an
error is 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from operator import mul

from quality.intervals import Z_95, Estimate, Interval, t_quantile, wilson
from quality.mover import mover

_FARTHEST_Z = 12.0
"""A p value at this distance is 0 in any figure that is shown."""


@dataclass(frozen=True, slots=True)
class Design:
    """How each of several items was drawn, in the order of the items.

    Attributes:
        weights: 1/probability of being drawn; above 0.
        strata: what the item was drawn from. Items of one stratum have the same weight.
    """

    weights: Sequence[float]
    strata: Sequence[Hashable]

    @property
    def effective(self) -> float:
        """Kish's effective number of items: so many with equal weights would tell as much. It is 0 without items."""
        squares = sum(weight * weight for weight in self.weights)
        return sum(self.weights) ** 2 / squares if squares else 0.0

    def among(self, places: Sequence[int]) -> Design:
        """Return the design of the items at `places`."""
        return Design([self.weights[at] for at in places], [self.strata[at] for at in places])

    def parts(self, at_least: int = 1) -> list[list[int]]:
        """Return the places of the items of each stratum.

        Args:
            at_least: items of a part; smaller strata are joined with the one whose weight is nearest above.
        """
        places: dict[Hashable, list[int]] = {}
        for at, stratum in enumerate(self.strata):
            places.setdefault(stratum, []).append(at)
        found: list[list[int]] = []
        for part in sorted(places.values(), key=lambda part: self.weights[part[0]]):
            if found and len(found[-1]) < at_least:
                found[-1] += part
            else:
                found.append(part)
        if len(found) > 1 and len(found[-1]) < at_least:
            last = found.pop()
            found[-1] += last
        return found


@dataclass(frozen=True, slots=True)
class StratumCounts:
    """The counts of one stratum.

    Attributes:
        share: the sum of its weights. inside: its items that the rate is over.
        successes: of the items inside.
        certain: whether each item of the stratum is a success, if the stratum decides that; None if it does not.
    """

    share: float
    n: int
    inside: int
    successes: int
    certain: bool | None = None


def cells(
    design: Design, successes: Sequence[bool], inside: Sequence[bool] | None = None, *, certain: bool = False
) -> list[StratumCounts]:
    """Return the counts of each stratum.

    Args:
        inside: which items the rate is over; all of them if None.
        certain: the stratum decides what is a success, as the judge's verdict does.
    """
    return [
        StratumCounts(
            share=sum(design.weights[at] for at in part),
            n=len(part),
            inside=sum(inside is None or inside[at] for at in part),
            successes=sum(successes[at] and (inside is None or inside[at]) for at in part),
            certain=successes[part[0]] if certain else None,
        )
        for part in design.parts()
    ]


def rate_within(counts: Sequence[StratumCounts], z: float = Z_95) -> Estimate | None:
    """Return the weighted share of successes among the items inside, or None without any.

    Where some items are outside, the share of each stratum that lies inside is a rate with an interval too.
    """
    if not any(cell.inside for cell in counts):
        return None
    masses = [cell.share / cell.n for cell in counts]
    value = sum(mass * cell.successes for mass, cell in zip(masses, counts, strict=True)) / sum(
        mass * cell.inside for mass, cell in zip(masses, counts, strict=True)
    )
    whole = all(cell.inside == cell.n for cell in counts)
    insides = [_known(1.0) if whole else _rate(cell.inside, cell.n, 0.0, z) for cell in counts]
    # A stratum without an item inside moves the rate once its share inside is not 0, by a rate that nobody has seen.
    rates = [
        _rate(cell.successes, cell.inside, value, z) if cell.certain is None else _known(float(cell.certain))
        for cell in counts
    ]

    def figure(*points: float) -> float:
        weights = [cell.share * share for cell, share in zip(counts, points[: len(counts)], strict=True)]
        total = sum(weights)
        return sum(map(mul, weights, points[len(counts) :])) / total if total else value

    return Estimate(value, mover(figure, [*insides, *rates]).interval.within(0.0, 1.0))


def difference_p(one: Sequence[StratumCounts], other: Sequence[StratumCounts]) -> float | None:
    """Return the two-sided p of "both rates are the same", or None if either is over nothing.

    It belongs to the widest interval of the difference (MOVER for differences, as Newcombe 1998) that excludes 0.
    """
    if rate_within(one) is None or rate_within(other) is None:
        return None
    low, high = 0.0, _FARTHEST_Z
    for _ in range(40):
        z = (low + high) / 2
        if _excludes_zero(rate_within(one, z=z), rate_within(other, z=z)):
            low = z
        else:
            high = z
    return erfc(low / sqrt(2))


def weighted_mean(values: Sequence[float], design: Design) -> Estimate:
    """Return the weighted mean of at least two values with its t interval.

    The variance is the stratified one, which the jackknife over items gives for a mean; the degrees of freedom are
    Satterthwaite's. Strata with one item are joined with another.
    """
    total = sum(design.weights)
    value = sum(weight * each for weight, each in zip(design.weights, values, strict=True)) / total
    variance = squares = 0.0
    for part in design.parts(at_least=2):
        n = len(part)
        share = sum(design.weights[at] for at in part) / total
        middle = sum(values[at] for at in part) / n
        found = share**2 * sum((values[at] - middle) ** 2 for at in part) / (n - 1) / n
        variance += found
        squares += found**2 / (n - 1)
    half = t_quantile(max(1.0, variance**2 / squares)) * sqrt(variance) if squares else 0.0
    return Estimate(value, Interval(value - half, value + half))


def _known(value: float) -> Estimate:
    return Estimate(value, Interval(value, value))


def _rate(successes: int, trials: int, unseen: float, z: float) -> Estimate:
    """Return a rate with Wilson's interval; without trials it is `unseen` and can be anything."""
    interval = wilson(successes, trials, z)
    return Estimate(unseen, Interval(0.0, 1.0)) if interval is None else Estimate(successes / trials, interval)


def _excludes_zero(one: Estimate | None, other: Estimate | None) -> bool:
    assert one is not None  # noqa: S101  # both are over something, which the caller has seen
    assert other is not None  # noqa: S101  # as above
    upper, lower = (one, other) if one.value >= other.value else (other, one)
    spread = (upper.value - upper.interval.low) ** 2 + (lower.interval.high - lower.value) ** 2
    return (upper.value - lower.value) ** 2 > spread
