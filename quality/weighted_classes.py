"""Agreement on passes, classes and several options from labels that were drawn with unequal, known probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from quality.agreement import (
    Classes,
    PassFail,
    balanced_accuracy_of,
    chance_corrected_shares,
    macro_f1_of,
)
from quality.intervals import Estimate
from quality.options import jaccard
from quality.weighted import Design, cells, rate_within


@dataclass(frozen=True, slots=True)
class WeightedOptions:
    """The mean Jaccard index over items, and the agreement on each option alone (chosen or not)."""

    n: int
    jaccard: float
    by_option: Mapping[str, Classes]


def weighted_classes(human: Sequence[int], judge: Sequence[int], classes: int, design: Design) -> Classes | None:
    """Return the agreement on classes, or None without items.

    Kappa and AC1 are corrected for chance from the weighted accuracy and its interval, as unweighted ones are.

    Args:
        human, judge: the class of each item, from 0.
        classes: how many there are, at least two.
    """
    accuracy = _accuracy(human, judge, design)
    if accuracy is None:
        return None
    shares = _shares(human, judge, classes, design)
    return Classes(
        n=len(human),
        accuracy=accuracy,
        macro_f1=macro_f1_of(shares),
        balanced_accuracy=balanced_accuracy_of(shares),
        chance_corrected=chance_corrected_shares(shares, accuracy.interval),
    )


def weighted_pass_fail(human: Sequence[bool], judge: Sequence[bool], design: Design) -> PassFail | None:
    """Return the agreement on pass and fail, or None without items. The strata can be of another version's verdicts.

    Args:
        human, judge: whether each side passes each item.
    """
    found = weighted_classes(human, judge, 2, design)
    if found is None:
        return None
    human_fails, judge_fails = [not each for each in human], [not each for each in judge]
    total = sum(design.weights)
    return PassFail(
        n=found.n,
        prevalence=sum(weight for weight, passed in zip(design.weights, human, strict=True) if passed) / total,
        accuracy=found.accuracy,
        sensitivity=rate_within(cells(design, judge, human)),
        specificity=rate_within(cells(design, judge_fails, human_fails)),
        precision_pass=rate_within(cells(design, human, judge)),
        precision_fail=rate_within(cells(design, human_fails, judge_fails)),
        chance_corrected=found.chance_corrected,
    )


def weighted_options(human: Sequence[Set[str]], judge: Sequence[Set[str]], design: Design) -> WeightedOptions | None:
    """Return the agreement on the options that either side chose at least once, or None without items."""
    total = sum(design.weights)
    if not total:
        return None
    mean = sum(w * jaccard(a, b) for w, a, b in zip(design.weights, human, judge, strict=True)) / total
    by_option = {}
    for name in sorted(set().union(*human, *judge)):
        found = weighted_classes([name in each for each in human], [name in each for each in judge], 2, design)
        if found is not None:
            by_option[name] = found
    return WeightedOptions(len(human), mean, by_option)


def _accuracy(human: Sequence[int], judge: Sequence[int], design: Design) -> Estimate | None:
    agreed = [ours == theirs for ours, theirs in zip(human, judge, strict=True)]
    return rate_within(cells(design, agreed))


def _shares(human: Sequence[int], judge: Sequence[int], classes: int, design: Design) -> list[list[float]]:
    total = sum(design.weights)
    table = [[0.0] * classes for _ in range(classes)]
    for row, column, weight in zip(human, judge, design.weights, strict=True):
        table[row][column] += weight / total
    return table
