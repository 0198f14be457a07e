"""Anchors: the usual verdict of a steady judge on each item, and the verdicts of a later run that have flipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from quality.consensus import Verdict
from quality.drift import null_rate

BASELINE_RUNS = 5
"""Runs that give the reference and the null rate."""
FEWEST = 20
"""Anchors that a run needs: with fewer, a drift is seen late."""
MOST = 200
TOLERANCE_SHARE = 0.1
"""A score without a step flips when it moves by more than this share of the range."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The reference of a steady judge, from its baseline runs.

    Attributes:
        reference: item → the verdict that most of the runs gave; the median of scores.
        null_rate: the flip rate that a steady judge is granted.
        flips, observations: against the reference, over all baseline runs.
    """

    reference: Mapping[str, Verdict]
    null_rate: float
    flips: int
    observations: int


@dataclass(frozen=True, slots=True)
class AnchorFlips:
    """One run against the reference.

    Attributes:
        anchors: items that the reference and the run both have.
        flips: those whose verdict is another one.
        to_pass, to_fail: flips across the passing rule.
    """

    anchors: int
    flips: int
    to_pass: int
    to_fail: int


def tolerance(step: float | None, low: float | None, high: float | None, scores: Iterable[float]) -> float:
    """Return by how much a score may move without a flip: one step, or a tenth of the range.

    Args:
        low, high: the bounds of the score. The range of `scores` stands in for a bound that is missing.
    """
    if step is not None:
        return step
    seen = list(scores)
    least = low if low is not None else min(seen, default=0.0)
    most = high if high is not None else max(seen, default=0.0)
    return TOLERANCE_SHARE * max(0.0, most - least)


def flipped(reference: Verdict, verdict: Verdict, allowed: float) -> bool:
    """Return whether a verdict differs from the reference; scores may differ by `allowed`. N/A is a verdict."""
    if isinstance(reference, float) and isinstance(verdict, float):
        return abs(verdict - reference) > allowed + 1e-9 * max(1.0, abs(reference))
    return reference != verdict


def baseline(runs: Sequence[Mapping[str, Verdict]], allowed: float) -> Baseline:
    """Return the reference and the null rate of baseline runs, each item → verdict.

    Verdicts that are equally frequent are decided by the earlier run, so that a repetition comes to the same answer.

    Raises:
        ExtraMissing: scipy is not installed.
        ValueError: the runs have no verdicts.
    """
    verdicts: dict[str, list[Verdict]] = {}
    for run in runs:
        for item, verdict in run.items():
            verdicts.setdefault(item, []).append(verdict)
    reference = {item: _usual(found) for item, found in verdicts.items()}
    observations = sum(map(len, verdicts.values()))
    flips = sum(flipped(reference[item], each, allowed) for item, found in verdicts.items() for each in found)
    if not observations:
        raise ValueError("the baseline runs have no verdicts")
    return Baseline(reference, null_rate(flips, observations), flips, observations)


def flips_of(
    reference: Mapping[str, Verdict], run: Mapping[str, Verdict], allowed: float, passes: Mapping[Verdict, bool | None]
) -> AnchorFlips:
    """Return the flips of a run, item → verdict.

    Args:
        passes: whether each verdict that occurs passes; None where no passing rule decides.
    """
    both = [(reference[item], verdict) for item, verdict in run.items() if item in reference]
    moved = [(before, after) for before, after in both if flipped(before, after, allowed)]
    across = Counter((passes.get(before), passes.get(after)) for before, after in moved)
    return AnchorFlips(len(both), len(moved), across[False, True], across[True, False])


def _usual(verdicts: Sequence[Verdict]) -> Verdict:
    scores = [each for each in verdicts if isinstance(each, float)]
    if len(scores) * 2 > len(verdicts):
        return float(median(scores))
    return Counter(verdicts).most_common(1)[0][0]
