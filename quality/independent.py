"""Two pass rates of different items: how far they lie apart, and whether that is more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, lgamma, sqrt

from quality.intervals import Estimate, Interval, wilson

_SMALL = 5.0
"""Below this expected count the normal approximation is not good, and Fisher's exact test is used."""
_TIES = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """The second rate minus the first, with its interval, and the two-sided p of "they are the same"."""

    estimate: Estimate
    p: float


def difference(passed: int, decided: int, passed_then: int, decided_then: int) -> Difference | None:
    """Return the rate `passed / decided` minus the rate `passed_then / decided_then`; None if either has no results.

    The interval is Newcombe's hybrid score interval (R. Newcombe, "Interval estimation for the difference between
    independent proportions", Statistics in Medicine 1998, method 10). The test is the score test, or Fisher's exact
    test where an expected count is below 5.
    """
    now, then = wilson(passed, decided), wilson(passed_then, decided_then)
    if now is None or then is None:
        return None
    rate, before = passed / decided, passed_then / decided_then
    value = rate - before
    low = value - sqrt((rate - now.low) ** 2 + (then.high - before) ** 2)
    high = value + sqrt((now.high - rate) ** 2 + (before - then.low) ** 2)
    interval = Interval(low, high).within(-1.0, 1.0)
    return Difference(Estimate(value, interval), same_rate_p(passed, decided, passed_then, decided_then))


def same_rate_p(passed: int, decided: int, passed_then: int, decided_then: int) -> float:
    """Return the two-sided p value of the hypothesis that both rates are the same; both have results."""
    total, passes = decided + decided_then, passed + passed_then
    fails = total - passes
    if not passes or not fails:
        return 1.0
    if min(decided, decided_then) * min(passes, fails) / total < _SMALL:
        return _fisher(passed, decided, passes, total)
    pooled = passes / total
    error = sqrt(pooled * (1 - pooled) * (1 / decided + 1 / decided_then))
    return erfc(abs(passed / decided - passed_then / decided_then) / error / sqrt(2))


def _fisher(passed: int, decided: int, passes: int, total: int) -> float:
    """Sum the probabilities of all tables that are at most as likely as the seen one, given the margins."""
    lowest, highest = max(0, decided - (total - passes)), min(decided, passes)
    constant = log_choose(total, decided)
    logs = [
        log_choose(passes, each) + log_choose(total - passes, decided - each) - constant
        for each in range(lowest, highest + 1)
    ]
    seen = logs[passed - lowest]
    return min(1.0, sum(exp(each) for each in logs if each <= seen + _TIES))


def log_choose(n: int, k: int) -> float:
    """Return the natural logarithm of the number of ways to choose `k` of `n`."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
