"""The pass rate corrected by the judge's error rates on labels from elsewhere, such as a golden set."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from quality.extra import needs_extra
from quality.intervals import Z_95, Estimate, Interval
from quality.refusals import Refusal, shortfall

CLASS_MINIMUM = 10
"""Human passes needed, and as many human fails."""
TRANSPORT_LEVEL = 0.01
"""The p below which the window's own labels contradict the golden set."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Human passes and human fails, and how many of each the judge agreed with."""

    human_pass: int
    human_pass_agreed: int
    human_fail: int
    human_fail_agreed: int


@dataclass(frozen=True, slots=True)
class Corrected:
    """The corrected rate with the adjusted Youden index (sensitivity + specificity − 1) and its lower bound."""

    rate: Estimate
    youden: float
    youden_low: float


@dataclass(frozen=True, slots=True)
class _Adjusted:
    """A rate moved toward one half, and the number of items that it then stands for."""

    value: float
    n: float

    @property
    def variance(self) -> float:
        return self.value * (1 - self.value) / self.n


def rogan_gladen(judged: int, judged_pass: int, golden: Golden, window: Golden | None = None) -> Corrected | Refusal:
    """Return the human pass rate of a window whose judge errs as it does on the golden set, or why there is none.

    The interval is that of Lang and Reiczigel (Preventive Veterinary Medicine 2014). Point and bounds are clamped to
    0 and 1 last.

    Args:
        judged: results of the window.
        judged_pass: judged passes among them.
        golden: the labels that give sensitivity and specificity.
        window: labels of the window itself, to test whether the golden set's error rates hold there.

    Raises:
        ExtraMissing: `window` is given and scipy is not installed.
    """
    refused = shortfall(
        {
            "human_pass": (golden.human_pass, CLASS_MINIMUM),
            "human_fail": (golden.human_fail, CLASS_MINIMUM),
            "judged": (judged, 1),
        }
    )
    if refused is not None:
        return refused
    q1 = _Adjusted((golden.human_pass_agreed + 1) / (golden.human_pass + 2), golden.human_pass + 2)
    q0 = _Adjusted((golden.human_fail_agreed + 1) / (golden.human_fail + 2), golden.human_fail + 2)
    youden = q0.value + q1.value - 1
    youden_low = youden - Z_95 * sqrt(q0.variance + q1.variance)
    figures = {"youden": youden, "youden_low": youden_low}
    if youden_low <= 0:
        return Refusal("judge_no_better_than_chance", figures=figures)
    if window is not None and not transportable(golden, window):
        return Refusal("not_transportable", figures=figures)
    unclamped = _interval(judged, judged_pass, q0, q1)
    if unclamped.high < 0 or unclamped.low > 1:
        return Refusal("inconsistent", figures=figures)
    specificity = golden.human_fail_agreed / golden.human_fail
    sensitivity = golden.human_pass_agreed / golden.human_pass
    point = (judged_pass / judged + specificity - 1) / (specificity + sensitivity - 1)
    return Corrected(Estimate(min(max(point, 0.0), 1.0), unclamped.within(0.0, 1.0)), youden, youden_low)


def transportable(golden: Golden, window: Golden) -> bool:
    """Tell whether the window's own labels agree with the golden set's sensitivity and specificity.

    Each rate is held against the golden set's by Fisher's exact test.

    Raises:
        ExtraMissing: scipy is not installed.
    """
    return all(
        _fisher_p(agreed, total, window_agreed, window_total) >= TRANSPORT_LEVEL
        for agreed, total, window_agreed, window_total in (
            (golden.human_pass_agreed, golden.human_pass, window.human_pass_agreed, window.human_pass),
            (golden.human_fail_agreed, golden.human_fail, window.human_fail_agreed, window.human_fail),
        )
    )


def _fisher_p(agreed: int, total: int, window_agreed: int, window_total: int) -> float:
    with needs_extra():
        from scipy.stats import fisher_exact
    table = [[agreed, total - agreed], [window_agreed, window_total - window_agreed]]
    return float(fisher_exact(table).pvalue)


def _interval(judged: int, judged_pass: int, q0: _Adjusted, q1: _Adjusted) -> Interval:
    square = Z_95 * Z_95
    share = _Adjusted((judged_pass + square / 2) / (judged + square), judged + square)
    youden = q0.value + q1.value - 1
    rate = (share.value + q0.value - 1) / youden
    shift = 2 * square * (rate * q1.variance - (1 - rate) * q0.variance)
    error = sqrt(share.variance + (1 - rate) ** 2 * q0.variance + rate**2 * q1.variance) / youden
    return Interval(rate + shift - Z_95 * error, rate + shift + Z_95 * error)
