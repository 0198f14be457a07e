"""Agreement on scores from labels that were drawn with unequal, known probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from math import atanh, inf, sqrt, tanh

from quality.extra import needs_extra
from quality.intervals import Estimate, Interval, t_quantile
from quality.numeric_agreement import Scores
from quality.weighted import Design, weighted_mean

with needs_extra():
    import numpy as np
    import numpy.typing as npt

Array = npt.NDArray[np.float64]
_LEAST_SPREAD = 1e-12


def weighted_scores(human: Sequence[float], judge: Sequence[float], design: Design) -> Scores:
    """Return the agreement on at least two pairs of scores.

    Raises:
        ExtraMissing: numpy or scipy is not installed.
    """
    errors = [theirs - ours for ours, theirs in zip(human, judge, strict=True)]
    mae = weighted_mean([abs(error) for error in errors], design)
    return Scores(
        n=len(errors),
        mae=Estimate(mae.value, mae.interval.within(0.0, inf)),
        bias=weighted_mean(errors, design),
        spearman=weighted_spearman(human, judge, design),
        alpha=weighted_alpha(human, judge, design),
    )


def weighted_spearman(human: Sequence[float], judge: Sequence[float], design: Design) -> Estimate | None:
    """Return the weighted rank correlation, or None with fewer than four pairs or if one side is constant.

    The error is that of the jackknife over items within strata, in its infinitesimal form, because leaving out each of
    5 000 items takes seconds. It is too small with few items, so that Bonett and Wright's for the effective number of
    items is its least value. The interval is symmetric after atanh, with t for the items less the strata.
    """
    if len(human) < 4 or len(set(human)) < 2 or len(set(judge)) < 2:
        return None
    a, b, weights = _arrays(human, judge, design)
    rho, influence = _rank_correlation(a, b, weights)
    if abs(rho) > 1 - _LEAST_SPREAD:
        return Estimate(rho, Interval(rho, rho))
    parts = design.parts(at_least=2)
    moved = weights * influence
    variance = sum(len(part) ** 2 / (len(part) - 1) * float(moved[part].var()) for part in parts)
    least = (1 + rho * rho / 2) / max(design.effective - 3, 1.0)
    error = sqrt(max(variance / (1 - rho * rho) ** 2, least))
    half = t_quantile(max(len(human) - len(parts), 1)) * error
    return Estimate(rho, Interval(tanh(atanh(rho) - half), tanh(atanh(rho) + half)))


def weighted_alpha(human: Sequence[float], judge: Sequence[float], design: Design) -> float | None:
    """Return Krippendorff's alpha with squared distances, or None if all scores are equal.

    Expected distances are those between ratings of the effective number of items, so that equal weights give
    `quality.alpha`.
    """
    a, b, weights = _arrays(human, judge, design)
    middle = float(weights @ (a + b)) / 2
    spread = float(weights @ ((a - middle) ** 2 + (b - middle) ** 2))
    if spread <= _LEAST_SPREAD * max(1.0, middle * middle):
        return None
    ratings = 2 * design.effective
    return 1 - (ratings - 1) / ratings * float(weights @ (a - b) ** 2) / spread


def _arrays(human: Sequence[float], judge: Sequence[float], design: Design) -> tuple[Array, Array, Array]:
    """Return both sides, and weights that sum to 1."""
    a, b, weights = (np.asarray(values, dtype=np.float64) for values in (human, judge, design.weights))
    return a, b, weights / weights.sum()


def _rank_correlation(a: Array, b: Array, weights: Array) -> tuple[float, Array]:
    """Return Spearman's rho, and how fast it grows with the weight of each item (weights sum to 1)."""
    of_a, of_b = _ranks(a, weights), _ranks(b, weights)
    together = float(weights @ (of_a * of_b)) - 0.25
    spread_a, spread_b = float(weights @ of_a**2) - 0.25, float(weights @ of_b**2) - 0.25
    rho = together / sqrt(spread_a * spread_b)
    # Each moment is a sum over triples of items, so that its derivative has the moment three times in its mean.
    by_weight = of_a * of_b + _above(a, weights * of_b) + _above(b, weights * of_a) - 0.75 - 3 * together
    by_a = of_a**2 + 2 * _above(a, weights * of_a) - 0.75 - 3 * spread_a
    by_b = of_b**2 + 2 * _above(b, weights * of_b) - 0.75 - 3 * spread_b
    influence = by_weight / sqrt(spread_a * spread_b) - rho / 2 * (by_a / spread_a + by_b / spread_b)
    return min(max(rho, -1.0), 1.0), influence


def _ranks(values: Array, weights: Array) -> Array:
    """Return the share of the weight below each value, and half of that at it."""
    place, at = _at(values, weights)
    below: Array = np.cumsum(at) - at / 2
    return below[place]


def _above(values: Array, masses: Array) -> Array:
    """Return the mass above each value, and half of that at it."""
    place, at = _at(values, masses)
    above: Array = at.sum() - np.cumsum(at) + at / 2
    return above[place]


def _at(values: Array, masses: Array) -> tuple[npt.NDArray[np.intp], Array]:
    _, place = np.unique(values, return_inverse=True)
    at = np.bincount(place, weights=masses).astype(np.float64)
    return place, at
