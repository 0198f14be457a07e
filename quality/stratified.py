"""Agreement on pass and fail from a queue that is stratified by the judge's verdict.

Such a queue selects by verdict, which biases sensitivity and specificity, so that each label counts as often as the
results that it stands for. The error is not jackknifed: with 40 labels and a judge that passes 95 %, a jackknifed
interval of the accuracy covers less than half of the time, because a stratum without an error seems to have none.
MOVER over the three rates that make up the table covers 93 to 97 % there (`benchmarks/trust.py`).
"""

from __future__ import annotations

from quality.agreement import Coefficient, PassFail, ac1_of, accuracy_of, combined, kappa_of
from quality.intervals import Estimate, Interval
from quality.mover import Statistic, mover
from quality.post_stratified import Stratified

Rows = tuple[tuple[float, float], tuple[float, float]]


def stratified_pass_fail(counts: Stratified) -> PassFail | None:
    """Return the agreement over the window's results, or None without labels in one of the strata."""
    rates = counts.rates()
    if rates is None:
        return None
    share, passes, fails = rates
    (tp, fn), (fp, tn) = _table(share.value, passes.value, fails.value)

    def figure(of_rates: Statistic, lowest: float = 0.0) -> Estimate:
        found = mover(of_rates, rates)
        return Estimate(found.value, found.interval.within(lowest, 1.0))

    kappa, ac1 = figure(_kappa, -1.0), figure(_ac1, -1.0)
    return PassFail(
        n=counts.labelled,
        prevalence=tp + fn,
        accuracy=figure(_accuracy),
        sensitivity=figure(_sensitivity) if tp + fn else None,
        specificity=figure(_specificity) if tn + fp else None,
        precision_pass=passes,
        precision_fail=Estimate(1 - fails.value, Interval(1 - fails.interval.high, 1 - fails.interval.low)),
        chance_corrected=combined(
            max(tp + fn, fp + tn),
            Coefficient(kappa.value, kappa.interval, large_sample=None),
            Coefficient(ac1.value, ac1.interval, large_sample=None),
        ),
    )


def _table(share: float, passes: float, fails: float) -> Rows:
    """Return the shares of all results from the judged-pass share and the human-pass rates of both strata."""
    return ((share * passes, (1 - share) * fails), (share * (1 - passes), (1 - share) * (1 - fails)))


def _accuracy(share: float, passes: float, fails: float) -> float:
    return accuracy_of(_table(share, passes, fails))


def _sensitivity(share: float, passes: float, fails: float) -> float:
    (tp, fn), _ = _table(share, passes, fails)
    return tp / (tp + fn)


def _specificity(share: float, passes: float, fails: float) -> float:
    _, (fp, tn) = _table(share, passes, fails)
    return tn / (tn + fp)


def _kappa(share: float, passes: float, fails: float) -> float:
    # Both verdicts occur, so that chance alone never agrees always; rounding alone could say so.
    return kappa_of(_table(share, passes, fails)) or 0.0


def _ac1(share: float, passes: float, fails: float) -> float:
    return ac1_of(_table(share, passes, fails))
