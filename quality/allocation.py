"""How many labels to take, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

from quality.intervals import Z_95
from quality.post_stratified import STRATUM_MINIMUM


@dataclass(frozen=True, slots=True)
class Pilot:
    """A few labels of one stratum, and the human passes among them."""

    labelled: int
    passes: int

    @property
    def deviation(self) -> float:
        """The standard deviation of one label, moved off 0 because a pilot of one class proves little."""
        rate = (self.passes + 1) / (self.labelled + 2)
        return sqrt(rate * (1 - rate))


@dataclass(frozen=True, slots=True)
class Strata:
    """Labels to take from the judged passes and from the judged fails."""

    labelled_pass: int
    labelled_fail: int


def neyman(n: int, judged_pass_share: float, passes: Pilot, fails: Pilot) -> Strata:
    """Return how to split `n` labels so that the post-stratified rate varies least (Neyman 1934).

    Each stratum gets at least the ten labels that the estimate needs.

    Raises:
        ValueError: `n` is smaller than the two minimums together.
    """
    if n < 2 * STRATUM_MINIMUM:
        raise ValueError(f"{n} labels are too few for two strata of at least {STRATUM_MINIMUM}")
    of_passes = judged_pass_share * passes.deviation
    of_fails = (1 - judged_pass_share) * fails.deviation
    first = round(n * of_passes / (of_passes + of_fails))
    first = min(max(first, STRATUM_MINIMUM), n - STRATUM_MINIMUM)
    return Strata(first, n - first)


def labels_for(half_width: float, judged_pass_share: float, passes: Pilot, fails: Pilot) -> int:
    """Return how many labels, split by `neyman`, give an interval of this half-width (0.05 is five points)."""
    spread = judged_pass_share * passes.deviation + (1 - judged_pass_share) * fails.deviation
    return max(ceil((Z_95 / half_width * spread) ** 2), 2 * STRATUM_MINIMUM)


@dataclass(frozen=True, slots=True)
class GoldenSizes:
    """Human fails (`m0`) and human passes (`m1`) that a golden set should hold."""

    m0: int
    m1: int


def golden_sizes(m: int, p: float, q0: float, q1: float, pilot: int) -> GoldenSizes:
    """Return how to split a golden set so that the Rogan–Gladen rate varies least (arXiv 2511.21140).

    Args:
        m: items of the golden set.
        p: the judged-pass share of the window.
        q0: the specificity in the pilot.
        q1: the sensitivity in the pilot.
        pilot: items of each class in the pilot, which are part of the golden set.

    Raises:
        ValueError: `m` is smaller than the two pilots together.
    """
    if m < 2 * pilot:
        raise ValueError(f"{m} items are too few for two pilots of {pilot}")
    ratio = (pilot * (1 - q0) + 1) / (pilot * (1 - q1) + 1)
    best = m / (1 + (1 / p - 1) * sqrt(ratio)) if p > 0 else 0.0
    first = min(max(round(best), pilot), m - pilot)
    return GoldenSizes(m - first, first)
