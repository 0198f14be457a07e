"""The Wilson score interval of a rate."""

from __future__ import annotations

from math import sqrt

Z_95 = 1.959963984540054
"""Two-sided 95 %."""


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float] | None:
    """Return the bounds of the rate `successes / trials`, or None without trials.

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
    return low, high
