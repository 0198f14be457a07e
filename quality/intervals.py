"""Confidence intervals of rates and means, two-sided at 95 % unless a function says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from quality.extra import needs_extra

Z_95 = 1.959963984540054
"""The normal quantile of a two-sided interval of 95 %."""


class Interval(NamedTuple):
    """The bounds of a confidence interval."""

    low: float
    high: float

    def within(self, lowest: float, highest: float) -> Interval:
        """Return the interval with both bounds clamped to what the quantity can be."""
        return Interval(min(max(self.low, lowest), highest), min(max(self.high, lowest), highest))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval."""

    value: float
    interval: Interval


def wilson(successes: int, trials: int, z: float = Z_95) -> Interval | None:
    """Return the score interval of the rate `successes / trials`, or None without trials.

    Unlike the normal approximation it stays within 0 and 1 and says something for few trials and extreme
    rates (Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927).
    """
    if trials <= 0:
        return None
    rate = successes / trials
    square = z * z
    denominator = 1 + square / trials
    centre = rate + square / (2 * trials)
    spread = z * sqrt(rate * (1 - rate) / trials + square / (4 * trials * trials))
    low = 0.0 if successes == 0 else (centre - spread) / denominator
    high = 1.0 if successes == trials else (centre + spread) / denominator
    return Interval(low, high)


def rate(successes: int, trials: int) -> Estimate | None:
    """Return a rate with its Wilson interval, or None without trials."""
    interval = wilson(successes, trials)
    return None if interval is None else Estimate(successes / trials, interval)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval | None:
    """Return the exact interval of a rate, or None without trials.

    It never covers less than `confidence` and is wider than Wilson's for it (Clopper and Pearson, Biometrika 1934).
    """
    if trials <= 0:
        return None
    tail = (1 - confidence) / 2
    return Interval(1 - _exact_upper(trials - successes, trials, tail), _exact_upper(successes, trials, tail))


def clopper_pearson_upper(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the one-sided exact upper bound of a rate; 1.0 without trials."""
    return 1.0 if trials <= 0 else _exact_upper(successes, trials, 1 - confidence)


def _exact_upper(successes: int, trials: int, tail: float) -> float:
    with needs_extra():
        from scipy.special import betaincinv
    return 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))


def mean(values: Sequence[float]) -> Estimate:
    """Return the mean of at least two values with its t interval.

    Raises:
        ExtraMissing: scipy is not installed.
    """
    count = len(values)
    average = sum(values) / count
    half = t_quantile(count - 1) * sqrt(sum((value - average) ** 2 for value in values) / (count - 1) / count)
    return Estimate(average, Interval(average - half, average + half))


def t_quantile(degrees: float) -> float:
    """Return Student's quantile of a two-sided interval of 95 %."""
    with needs_extra():
        from scipy.special import stdtrit
    return float(stdtrit(degrees, 0.975))
