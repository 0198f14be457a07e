"""Do confidences mean what they say? Brier score, calibration error, and curves that mend it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Literal

from quality.extra import needs_extra

BINS = 10
LOGISTIC_FROM = 100
"""Labels from which confidences are calibrated."""
ISOTONIC_FROM = 1_000
_EDGES = tuple(edge / BINS for edge in range(1, BINS))
_NEAR = 1e-6
"""Confidences nearer to 0 or 1 count as this near, because their log odds have no bound."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The confidences above `low`, up to and with `high`."""

    low: float
    high: float
    n: int
    confidence: float
    """Their mean."""
    right: float
    """The share of verdicts that were right."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """The Brier score, the expected calibration error, and the bins that are not empty."""

    n: int
    brier: float
    ece: float
    bins: tuple[Bin, ...]


def reliability(probabilities: Sequence[float], outcomes: Sequence[bool]) -> Reliability | None:
    """Return how well probabilities fit outcomes, or None without any."""
    n = len(probabilities)
    if not n:
        return None
    pairs = list(zip(probabilities, outcomes, strict=True))
    brier = sum((probability - outcome) ** 2 for probability, outcome in pairs) / n
    members: dict[int, list[tuple[float, bool]]] = {}
    for probability, outcome in pairs:
        members.setdefault(bisect_left(_EDGES, probability), []).append((probability, outcome))
    bins = tuple(_bin(at, members[at]) for at in sorted(members))
    return Reliability(n, brier, sum(each.n / n * abs(each.right - each.confidence) for each in bins), bins)


def _bin(at: int, members: Sequence[tuple[float, bool]]) -> Bin:
    count = len(members)
    confidence = sum(probability for probability, _ in members) / count
    return Bin(at / BINS, (at + 1) / BINS, count, confidence, sum(outcome for _, outcome in members) / count)


@dataclass(frozen=True, slots=True)
class Curve:
    """A calibration that was fitted; plain numbers, so that it can be stored and applied without the extra.

    A logistic curve has one point, (slope, intercept) over log odds. An isotonic one runs straight from point to
    point and is flat beyond the ends.
    """

    method: Literal["logistic", "isotonic"]
    n: int
    points: tuple[tuple[float, float], ...]

    def __call__(self, probability: float) -> float:
        """Return the calibrated probability."""
        if self.method == "logistic":
            slope, intercept = self.points[0]
            return 1 / (1 + exp(-(slope * _log_odds(probability) + intercept)))
        after = bisect_right(self.points, probability, key=lambda point: point[0])
        if after in (0, len(self.points)):
            return self.points[min(after, len(self.points) - 1)][1]
        (x0, y0), (x1, y1) = self.points[after - 1 : after + 1]
        return y0 + (y1 - y0) * (probability - x0) / (x1 - x0)


def fit_curve(probabilities: Sequence[float], outcomes: Sequence[bool]) -> Curve | None:
    """Return the curve that maps confidences to how often they are right.

    None means that it stays uncalibrated: there are fewer than 100 labels, or all of them say the same.

    Raises:
        ExtraMissing: scikit-learn is not installed.
    """
    n = len(probabilities)
    if n < LOGISTIC_FROM or len(set(outcomes)) < 2:
        return None
    if n < ISOTONIC_FROM:
        with needs_extra():
            from sklearn.linear_model import LogisticRegression
        fitted = LogisticRegression().fit([[_log_odds(each)] for each in probabilities], list(outcomes))
        return Curve("logistic", n, ((float(fitted.coef_[0][0]), float(fitted.intercept_[0])),))
    with needs_extra():
        from sklearn.isotonic import IsotonicRegression
    steps = IsotonicRegression(y_min=0, y_max=1).fit(probabilities, outcomes)
    points = zip(steps.X_thresholds_, steps.y_thresholds_, strict=True)
    return Curve("isotonic", n, tuple((float(x), float(y)) for x, y in points))


def _log_odds(probability: float) -> float:
    near = min(max(probability, _NEAR), 1 - _NEAR)
    return log(near / (1 - near))
