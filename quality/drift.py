"""Did the judge move? A Shiryaev–Roberts e-detector over the anchors' runs.

Anchors are items whose verdict is known, judged again and again. A run's flips are held against the rate of a steady
judge, the null rate. Without drift the statistic raises at most one false alarm per 1 000 runs on average, however
often one looks (Shin, Ramdas and Rinaldo, "E-detectors", arXiv 2203.03532).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1, inf, log, log1p
from typing import Literal

from quality.intervals import clopper_pearson_upper

DriftState = Literal["steady", "suspect", "alarm"]
DriftAnswer = Literal["product_moved", "judge_moved", "undecided", "steady", "suspect"]

SUSPECT = 100.0
ALARM = 1_000.0
UNMOVED = 10.0
"""Below this statistic a shift of the live rate is the product's."""
STEPS = (0.05, 0.10, 0.20, 0.40)
"""How far above the null rate the flip rates lie that the test looks for."""
HIGHEST_RATE = 0.95
LOWEST_NULL_RATE = 0.02
_LARGEST_LOG = 709.0
"""exp() of anything much larger overflows."""


def null_rate(flips: int, observations: int) -> float:
    """Return the flip rate that a steady judge is granted, from the flips of the baseline runs.

    It is the upper 95 % bound of Clopper and Pearson, one-sided, and at least 0.02.

    Raises:
        ExtraMissing: scipy is not installed.
    """
    return max(LOWEST_NULL_RATE, clopper_pearson_upper(flips, observations))


@dataclass(frozen=True, slots=True)
class Detector:
    """The state of the test, which a run replaces by the next. It costs the same after any number of runs.

    `evidence` holds log(1 + M) of each step, which is finite at the start, where M is 0, and where M would overflow.
    """

    null_rate: float
    evidence: tuple[float, ...] = (0.0,) * len(STEPS)
    runs: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.null_rate < HIGHEST_RATE:
            raise ValueError(f"the null rate {self.null_rate} must be above 0 and below {HIGHEST_RATE}")

    def after(self, flips: int, anchors: int) -> Detector:
        """Return the state after a run in which `flips` of `anchors` items differ from the reference.

        A run whose provider failed is incomplete and must not be counted.

        Raises:
            ValueError: there are more flips than anchors, or fewer than 0.
        """
        if not 0 <= flips <= anchors:
            raise ValueError(f"{flips} flips of {anchors} anchors cannot be")
        evidence = tuple(
            next_evidence(old, _log_likelihood_ratio(self.null_rate, step, flips, anchors))
            for old, step in zip(self.evidence, STEPS, strict=True)
        )
        return Detector(self.null_rate, evidence, self.runs + 1)

    @property
    def log_statistic(self) -> float:
        """The natural logarithm of the mean of the four M; −inf before the first run."""
        return mean_of_evidence(self.evidence)

    @property
    def statistic(self) -> float:
        """The mean of the four M; the largest that fits where it is larger than a float can be."""
        return exp(min(self.log_statistic, _LARGEST_LOG))

    @property
    def state(self) -> DriftState:
        """The reading of the statistic by itself."""
        return "alarm" if self.statistic >= ALARM else "suspect" if self.statistic >= SUSPECT else "steady"


def _log_likelihood_ratio(null: float, step: float, flips: int, anchors: int) -> float:
    rate = min(null + step, HIGHEST_RATE)
    return flips * log(rate / null) + (anchors - flips) * log((1 - rate) / (1 - null))


def next_evidence(evidence: float, log_ratio: float) -> float:
    """Return log(1 + M) after a step of the Shiryaev-Roberts sum, M' = (1 + M) · exp(`log_ratio`)."""
    return _log1p_exp(evidence + log_ratio)


def mean_of_evidence(evidence: Sequence[float]) -> float:
    """Return the natural logarithm of the mean of several M, given as log(1 + M); −inf where each is 0."""
    logs = [_log_expm1(each) for each in evidence]
    top = max(logs)
    return top if top == -inf else top + log(sum(exp(each - top) for each in logs) / len(logs))


def _log1p_exp(value: float) -> float:
    return value + log1p(exp(-value)) if value > 0 else log1p(exp(value))


def _log_expm1(value: float) -> float:
    if value == 0:
        return -inf
    return value + log1p(-exp(-value)) if value > 1 else log(expm1(value))


def run_of(null: float, anchors: int, flips: Sequence[int]) -> list[Detector]:
    """Return the state after each of several runs of the same anchors."""
    states: list[Detector] = []
    state = Detector(null)
    for each in flips:
        state = state.after(each, anchors)
        states.append(state)
    return states


def who_moved(live_rate_shifted: bool, statistic: float | None) -> DriftAnswer:
    """Return whether the product or the judge explains the live pass rate.

    Args:
        live_rate_shifted: the reports saw the live rate shift.
        statistic: that of the anchors judged after the shift began, or None if they have not run since. Anchors must
            run at once when the answer is `undecided`.
    """
    if statistic is not None and statistic >= ALARM:
        return "judge_moved"
    if live_rate_shifted:
        return "product_moved" if statistic is not None and statistic < UNMOVED else "undecided"
    return "suspect" if statistic is not None and statistic >= SUSPECT else "steady"
