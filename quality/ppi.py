"""The mean score corrected by labels: prediction-powered inference with power tuning (PPI++, arXiv 2311.01453)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from quality.extra import needs_extra
from quality.intervals import Z_95, Estimate, Interval

with needs_extra():
    import numpy as np


@dataclass(frozen=True, slots=True)
class CorrectedMean:
    """The mean human score of all items; `power` is the weight λ that the judge's scores got."""

    power: float
    se: float
    mean: Estimate


def ppi_mean(
    human: Sequence[float], judge: Sequence[float], unlabelled: Sequence[float], power: float | None = None
) -> CorrectedMean:
    """Return the mean human score of a window.

    Args:
        human: scores that people gave to at least two items.
        judge: the judge's scores of the same items, in the same order.
        unlabelled: the judge's scores of one or more items without labels.
        power: the weight λ of the judge's scores, 0 to 1; the one with the least variance by default.
    """
    y, f, rest = (np.asarray(values, dtype=np.float64) for values in (human, judge, unlabelled))
    n, big_n = len(y), len(rest)
    if power is None:
        power = _best_power(y, f, rest)
    mean = power * float(rest.mean()) + float((y - power * f).mean())
    se = sqrt(power**2 * float(rest.var()) / big_n + float((y - power * f).var()) / n)
    return CorrectedMean(power, se, Estimate(mean, Interval(mean - Z_95 * se, mean + Z_95 * se)))


def _best_power(y: np.ndarray, f: np.ndarray, rest: np.ndarray) -> float:
    spread = float(np.concatenate((f, rest)).var(ddof=1))
    if spread == 0:
        return 0.0
    together = float(((y - y.mean()) * (f - f.mean())).mean())
    return min(max(together / ((1 + len(y) / len(rest)) * spread), 0.0), 1.0)
