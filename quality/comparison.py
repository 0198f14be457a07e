"""Which of two versions is better, from verdicts on the same items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, sqrt
from typing import Literal

from quality.extra import needs_extra
from quality.intervals import Z_95, Estimate, Interval

Outcome = Literal["better", "worse", "equivalent", "undecided"]

MARGIN = 0.02
"""The difference of pass rates that does not matter, unless a caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Flips:
    """The 2×2 counts of two versions on the same items."""

    both_pass: int
    fail_to_pass: int
    pass_to_fail: int
    both_fail: int

    @property
    def n(self) -> int:
        """All items."""
        return self.both_pass + self.fail_to_pass + self.pass_to_fail + self.both_fail


@dataclass(frozen=True, slots=True)
class Compared:
    """The change of the pass rate from the first version to the second.

    `n_to_decide` is the number of items that would decide if the shares stayed as they are; None if it is decided.
    """

    n: int
    difference: Estimate
    mcnemar_p: float
    outcome: Outcome
    n_to_decide: int | None


def compare(flips: Flips, margin: float = MARGIN) -> Compared | None:
    """Return how the pass rate changed, or None without items.

    The value is (c − b)/n, the interval that of Agresti and Min (Statistics in Medicine 2005).

    Args:
        flips: the counts.
        margin: the difference, above 0, that does not matter. The versions are `equivalent` when the interval lies
            within it; otherwise the second is `better` or `worse` when the interval excludes 0.

    Raises:
        ExtraMissing: scipy is not installed.
    """
    if not flips.n:
        return None
    change = flips.fail_to_pass - flips.pass_to_fail
    centre = change / (flips.n + 2)
    variance = (flips.pass_to_fail + flips.fail_to_pass + 1) / (flips.n + 2) - centre**2
    half = Z_95 * sqrt(variance / (flips.n + 2))
    interval = Interval(centre - half, centre + half).within(-1.0, 1.0)
    outcome = outcome_of(interval, margin)
    return Compared(
        n=flips.n,
        difference=Estimate(change / flips.n, interval),
        mcnemar_p=mcnemar(flips.pass_to_fail, flips.fail_to_pass),
        outcome=outcome,
        n_to_decide=_n_to_decide(centre, variance, margin) if outcome == "undecided" else None,
    )


def outcome_of(interval: Interval, margin: float) -> Outcome:
    """Return what an interval of the second version's lead says."""
    if -margin < interval.low and interval.high < margin:
        return "equivalent"
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "undecided"


def _n_to_decide(centre: float, variance: float, margin: float) -> int:
    """Return the least n whose interval, of n + 2 items, excludes 0 or fits the margin, whichever comes first."""
    half = max(abs(centre), margin - abs(centre))
    return floor(variance * (Z_95 / half) ** 2) - 1


def mcnemar(b: int, c: int) -> float:
    """Return the exact two-sided p of McNemar's test; 1.0 if nothing flipped.

    Raises:
        ExtraMissing: scipy is not installed.
    """
    if not b + c:
        return 1.0
    with needs_extra():
        from scipy.special import betainc
    # This is the binomial distribution at min(b, c). scipy's own form of it gives nan for counts beyond 32 bits.
    return min(1.0, 2 * float(betainc(max(b, c), min(b, c) + 1, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values adjusted for their number by Holm's method, in the order given.

    At most one in twenty families of true hypotheses then has an adjusted p below 0.05 (Holm, Scandinavian Journal of
    Statistics 1979).
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted
