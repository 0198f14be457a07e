"""Agreement of a judge with people on scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, inf, sqrt, tanh

from quality.alpha import alpha
from quality.intervals import Z_95, Estimate, Interval, mean
from quality.ranks import mean_ranks


@dataclass(frozen=True, slots=True)
class Scores:
    """Errors and association of paired scores.

    `spearman` is None with fewer than four pairs or if one side is constant, `alpha` if all scores are equal.
    """

    n: int
    mae: Estimate
    """The mean absolute error."""
    bias: Estimate
    """The mean of judge − human."""
    spearman: Estimate | None
    alpha: float | None


def scores(human: Sequence[float], judge: Sequence[float]) -> Scores:
    """Return the agreement on at least two pairs of scores.

    Raises:
        ExtraMissing: scipy is not installed.
    """
    errors = [theirs - ours for ours, theirs in zip(human, judge, strict=True)]
    mae = mean([abs(error) for error in errors])
    return Scores(
        n=len(errors),
        mae=Estimate(mae.value, mae.interval.within(0.0, inf)),
        bias=mean(errors),
        spearman=spearman(human, judge),
        alpha=alpha(list(zip(human, judge, strict=True)), "interval"),
    )


def spearman(a: Sequence[float], b: Sequence[float]) -> Estimate | None:
    """Return the rank correlation, or None with fewer than four pairs or if one side is constant.

    The interval is that of Bonett and Wright (Psychometrika 2000). Perfect correlation is a limit of the formula in
    which the interval has no width.
    """
    if len(a) < 4 or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    rank_a, rank_b = mean_ranks(a), mean_ranks(b)
    rho = _correlation([rank_a[value] for value in a], [rank_b[value] for value in b])
    if abs(rho) == 1:
        return Estimate(rho, Interval(rho, rho))
    half = Z_95 * sqrt((1 + rho * rho / 2) / (len(a) - 3))
    return Estimate(rho, Interval(tanh(atanh(rho) - half), tanh(atanh(rho) + half)))


def _correlation(a: Sequence[float], b: Sequence[float]) -> float:
    middle = (len(a) + 1) / 2  # the mean of any ranks
    together = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    spread = sqrt(sum((x - middle) ** 2 for x in a) * sum((y - middle) ** 2 for y in b))
    return min(max(together / spread, -1.0), 1.0)
