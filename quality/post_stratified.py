"""The pass rate corrected by labels of the same window and fingerprint, stratified by the judge's verdict."""

from __future__ import annotations

from dataclasses import dataclass

from quality.intervals import Estimate, rate
from quality.mover import mover
from quality.refusals import Refusal, shortfall

STRATUM_MINIMUM = 10
"""Labels needed among the judged passes, and as many among the judged fails."""
TOTAL_MINIMUM = 40


@dataclass(frozen=True, slots=True)
class Stratified:
    """The counts of a window: all of its results, and the labels among judged passes and judged fails."""

    judged: int
    judged_pass: int
    labelled_pass: int
    """Labels among the judged passes."""
    labelled_pass_true: int
    """Human passes among those."""
    labelled_fail: int
    labelled_fail_true: int
    """Human passes among the labelled judged fails."""

    @property
    def labelled(self) -> int:
        """All labels."""
        return self.labelled_pass + self.labelled_fail

    def rates(self) -> tuple[Estimate, Estimate, Estimate] | None:
        """Return the judged-pass share and the human-pass rates of the judged passes and of the judged fails.

        It is None without results, or without labels in one of the strata.
        """
        share = rate(self.judged_pass, self.judged)
        passes = rate(self.labelled_pass_true, self.labelled_pass)
        fails = rate(self.labelled_fail_true, self.labelled_fail)
        return None if share is None or passes is None or fails is None else (share, passes, fails)


def post_stratified(counts: Stratified) -> Estimate | Refusal:
    """Return the human pass rate of the window, or `too_few`.

    θ = pA + (1 − p)B with MOVER over the Wilson intervals of the three rates. It assumes only that the labels are
    random within each stratum.
    """
    refused = shortfall(
        {
            "judged": (counts.judged, 1),
            "labelled_pass": (counts.labelled_pass, STRATUM_MINIMUM),
            "labelled_fail": (counts.labelled_fail, STRATUM_MINIMUM),
            "labelled": (counts.labelled, TOTAL_MINIMUM),
        }
    )
    rates = counts.rates()
    if refused is not None or rates is None:
        return refused or Refusal("too_few")
    found = mover(lambda share, passes, fails: share * passes + (1 - share) * fails, rates)
    return Estimate(found.value, found.interval.within(0.0, 1.0))
