"""Agreement of a judge with people on classes: a table whose rows are human classes and columns the judge's.

The functions that end in `_of` take a table of counts or shares and give a point. `pass_fail` and `classes` add
intervals to tables of counts; `quality.stratified` and `quality.weighted_classes` do so for a stratified queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from quality.intervals import Z_95, Estimate, Interval, rate

Table = Sequence[Sequence[float]]
Headline = Literal["kappa", "ac1"]
Word = Literal["poor", "fair", "good", "strong"]

SKEWED = 0.8
"""The share of one class in the consensus from which AC1 is the headline, because kappa says little there."""

_WORDS: tuple[tuple[float, Word], ...] = ((0.4, "poor"), (0.6, "fair"), (0.8, "good"))


@dataclass(frozen=True, slots=True)
class Coefficient:
    """An agreement corrected for chance.

    `interval` is the Wilson interval of the accuracy, corrected for chance like the value (MOVER in a stratified
    queue). `large_sample` is value ± z·error by the published variance, None in a stratified queue. It covers too
    little with few items: with 30 that all agree it has no width, and at a true kappa of 0.9 it covers 79 % of the
    time, where `interval` covers 94 %. With hundreds of items both are alike.
    """

    value: float
    interval: Interval
    large_sample: Interval | None


@dataclass(frozen=True, slots=True)
class ChanceCorrected:
    """Kappa and AC1 with the one that leads, and the word for the lower bound of that one.

    `largest_class` is the share of the most frequent human class. Kappa is None when both sides name one class only.
    """

    largest_class: float
    kappa: Coefficient | None
    ac1: Coefficient
    headline: Headline
    word: Word


@dataclass(frozen=True, slots=True)
class PassFail:
    """Agreement on pass and fail. A rate is None without items that it could be taken over."""

    n: int
    prevalence: float
    """The human-pass share."""
    accuracy: Estimate
    sensitivity: Estimate | None
    """The judged-pass share of the human passes."""
    specificity: Estimate | None
    """The judged-fail share of the human fails."""
    precision_pass: Estimate | None
    """The human-pass share of the judged passes."""
    precision_fail: Estimate | None
    """The human-fail share of the judged fails."""
    chance_corrected: ChanceCorrected


@dataclass(frozen=True, slots=True)
class Classes:
    """Agreement on two classes or more."""

    n: int
    accuracy: Estimate
    macro_f1: float
    balanced_accuracy: float
    chance_corrected: ChanceCorrected


def pass_fail(tp: int, fn: int, fp: int, tn: int) -> PassFail | None:
    """Return the agreement on pass ("positive") and fail, or None without items.

    Args:
        tp: items that people and the judge pass.
        fn: human passes that the judge fails.
        fp: human fails that the judge passes.
        tn: items that both fail.
    """
    n = tp + fn + fp + tn
    accuracy = rate(tp + tn, n)
    if accuracy is None:
        return None
    return PassFail(
        n=n,
        prevalence=(tp + fn) / n,
        accuracy=accuracy,
        sensitivity=rate(tp, tp + fn),
        specificity=rate(tn, tn + fp),
        precision_pass=rate(tp, tp + fp),
        precision_fail=rate(tn, tn + fn),
        chance_corrected=chance_corrected(((tp, fn), (fp, tn)), accuracy.interval, n),
    )


def classes(table: Sequence[Sequence[int]]) -> Classes | None:
    """Return the agreement on the classes of a square table of counts with two rows or more, or None without items."""
    n = sum(map(sum, table))
    accuracy = rate(sum(row[at] for at, row in enumerate(table)), n)
    if accuracy is None:
        return None
    return Classes(
        n=n,
        accuracy=accuracy,
        macro_f1=macro_f1_of(table),
        balanced_accuracy=balanced_accuracy_of(table),
        chance_corrected=chance_corrected(table, accuracy.interval, n),
    )


def chance_corrected(table: Sequence[Sequence[int]], accuracy: Interval, n: int) -> ChanceCorrected:
    """Return kappa and AC1 of a table of counts of `n` > 0 items, whose accuracy has this interval."""
    shares = [[cell / n for cell in row] for row in table]
    kappa, ac1 = _kappa(shares, accuracy, n), _ac1(shares, accuracy, n)
    return combined(max(map(sum, shares)), kappa, ac1)


def chance_corrected_shares(shares: Table, accuracy: Interval) -> ChanceCorrected:
    """Return kappa and AC1 of a table of weighted shares that sums to 1, whose accuracy has this interval."""
    kappa = kappa_of(shares)
    return combined(
        max(map(sum, shares)),
        None if kappa is None else Coefficient(kappa, _without_chance(_kappa_chance(shares), accuracy), None),
        Coefficient(ac1_of(shares), _without_chance(_ac1_chance(shares), accuracy), None),
    )


def combined(largest_class: float, kappa: Coefficient | None, ac1: Coefficient) -> ChanceCorrected:
    """Return both coefficients with the one that leads and its word."""
    headline: Headline = "ac1" if kappa is None or largest_class >= SKEWED else "kappa"
    leading = ac1 if kappa is None or headline == "ac1" else kappa
    return ChanceCorrected(largest_class, kappa, ac1, headline, word_of(leading.interval.low))


def word_of(lower_bound: float) -> Word:
    """Return the word for an agreement whose interval begins at `lower_bound`."""
    return next((word for limit, word in _WORDS if lower_bound < limit), "strong")


def accuracy_of(table: Table) -> float:
    """Return the share of items on the diagonal."""
    return sum(row[at] for at, row in enumerate(table)) / sum(map(sum, table))


def kappa_of(shares: Table) -> float | None:
    """Return Cohen's kappa of a table that sums to 1, or None when chance alone agrees always."""
    by_chance = _kappa_chance(shares)
    return None if by_chance >= 1 else _beyond(by_chance, accuracy_of(shares))


def ac1_of(shares: Table) -> float:
    """Return Gwet's AC1 of a table that sums to 1 (British Journal of Mathematical and Statistical Psychology 2008)."""
    return _beyond(_ac1_chance(shares), accuracy_of(shares))


def macro_f1_of(table: Table) -> float:
    """Return the mean F1 over the classes that people or the judge named."""
    rows, columns = _margins(table)
    scores = [
        2 * table[at][at] / (row + column)
        for at, (row, column) in enumerate(zip(rows, columns, strict=True))
        if row + column
    ]
    return sum(scores) / len(scores)


def balanced_accuracy_of(table: Table) -> float:
    """Return the mean recall over the classes that people named."""
    recalls = [row[at] / sum(row) for at, row in enumerate(table) if sum(row)]
    return sum(recalls) / len(recalls)


def _margins(table: Table) -> tuple[list[float], list[float]]:
    return [sum(row) for row in table], [sum(column) for column in zip(*table, strict=True)]


def _mean_margins(shares: Table) -> list[float]:
    return [(row + column) / 2 for row, column in zip(*_margins(shares), strict=True)]


def _kappa_chance(shares: Table) -> float:
    return sum(row * column for row, column in zip(*_margins(shares), strict=True))


def _ac1_chance(shares: Table) -> float:
    return sum(share * (1 - share) for share in _mean_margins(shares)) / (len(shares) - 1)


def _beyond(by_chance: float, agreed: float) -> float:
    """Return the agreement that is left when chance is taken away, 1 if all agree."""
    return (agreed - by_chance) / (1 - by_chance)


def _kappa(shares: Table, accuracy: Interval, n: int) -> Coefficient | None:
    kappa = kappa_of(shares)
    if kappa is None:
        return None
    by_chance = _kappa_chance(shares)
    error = sqrt(_kappa_variance(shares, kappa, by_chance) / n) / (1 - by_chance)
    return _coefficient(kappa, by_chance, accuracy, error)


def _kappa_variance(shares: Table, kappa: float, by_chance: float) -> float:
    """Return the variance by Fleiss, Cohen and Everitt (Psychological Bulletin 1969), times n(1 − pe)²."""
    rows, columns = _margins(shares)
    agreed = disagreed = 0.0
    for at, line in enumerate(shares):
        for to, share in enumerate(line):
            if at == to:
                agreed += share * (1 - (rows[at] + columns[at]) * (1 - kappa)) ** 2
            else:
                disagreed += share * (columns[at] + rows[to]) ** 2
    return max(0.0, agreed + (1 - kappa) ** 2 * disagreed - (kappa - by_chance * (1 - kappa)) ** 2)


def _ac1(shares: Table, accuracy: Interval, n: int) -> Coefficient:
    ac1, by_chance = ac1_of(shares), _ac1_chance(shares)
    error = sqrt(_ac1_variance(shares, ac1, by_chance) / n) / (1 - by_chance)
    return _coefficient(ac1, by_chance, accuracy, error)


def _ac1_variance(shares: Table, ac1: float, by_chance: float) -> float:
    """Return Gwet's variance, times n(1 − pe)²."""
    means = _mean_margins(shares)
    squares = sum(
        share * ((at == to) - 2 * (1 - ac1) * (1 - (means[at] + means[to]) / 2) / (len(shares) - 1)) ** 2
        for at, line in enumerate(shares)
        for to, share in enumerate(line)
    )
    return max(0.0, squares - (accuracy_of(shares) - 2 * (1 - ac1) * by_chance) ** 2)


def _coefficient(value: float, by_chance: float, accuracy: Interval, error: float) -> Coefficient:
    return Coefficient(
        value=value,
        interval=_without_chance(by_chance, accuracy),
        large_sample=Interval(value - Z_95 * error, value + Z_95 * error).within(-1.0, 1.0),
    )


def _without_chance(by_chance: float, accuracy: Interval) -> Interval:
    return Interval(*(_beyond(by_chance, bound) for bound in accuracy)).within(-1.0, 1.0)
