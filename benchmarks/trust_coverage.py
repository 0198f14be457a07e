"""The samples of `benchmarks.trust`: one function per interval, which draws a truth, a sample and the interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import asin, pi

import numpy as np
from scipy.stats import spearmanr

from quality.agreement import Classes, PassFail, ac1_of, kappa_of, pass_fail
from quality.comparison import Flips, compare
from quality.drift import LOWEST_NULL_RATE, null_rate
from quality.intervals import Estimate, Interval, clopper_pearson, wilson
from quality.minimums import (
    BOOTSTRAP_ITEMS,
    COEFFICIENT_PAIRS,
    ERROR_PAIRS,
    HUMAN_PASSES,
    PAIRS,
    SCORE_LABELS,
    SLICE_PAIRS,
)
from quality.numeric_agreement import Scores, scores, spearman
from quality.paired import paired_difference
from quality.post_stratified import Stratified, post_stratified
from quality.ppi import ppi_mean
from quality.refusals import Refusal
from quality.rogan_gladen import CLASS_MINIMUM, Golden, rogan_gladen
from quality.stratified import stratified_pass_fail
from quality.weighted import Design, cells, rate_within
from quality.weighted_classes import weighted_classes, weighted_pass_fail
from quality.weighted_scores import weighted_scores

RESULTS = 5_000
"""Judged results of a window."""
RESAMPLES = 1_000
_ERRORS = np.array([-2, -1, 0, 1, 2])


@dataclass(frozen=True, slots=True)
class Trial:
    """Where the truth lies in its range (0 to 1), the truth, and the interval, None where it is refused."""

    place: float
    truth: float
    interval: Interval | None


Draw = Callable[[np.random.Generator], Trial]


@dataclass(frozen=True, slots=True)
class Row:
    """An interval under test. `offered` intervals have the target."""

    name: str
    labels: str
    truths: str
    draw: Draw
    offered: bool = True


def _uniform(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    """Return a place from 0 to 1 and the value there."""
    place = float(rng.uniform())
    return place, low + place * (high - low)


def _rate(n: int, method: Callable[[int, int], Interval | None]) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, truth = _uniform(rng, 0.6, 0.98)
        return Trial(place, truth, method(int(rng.binomial(n, truth)), n))

    return draw


def _null_rate(rng: np.random.Generator) -> Trial:
    place, truth = _uniform(rng, LOWEST_NULL_RATE, 0.2)
    return Trial(place, truth, Interval(0.0, null_rate(int(rng.binomial(100, truth)), 100)))


def _table(n: int, figure: Callable[[PassFail], Interval | None], truth_of: Callable[[np.ndarray], float]) -> Draw:
    """Return the draw of a 2×2 table of a judge whose sensitivity and specificity lie from 0.7 to 0.98."""

    def draw(rng: np.random.Generator) -> Trial:
        prevalence = rng.uniform(0.5, 0.9)
        place, sensitivity = _uniform(rng, 0.7, 0.98)
        specificity = rng.uniform(0.7, 0.98)
        human = np.array([prevalence, 1 - prevalence])
        shares = human[:, None] * np.array([[sensitivity, 1 - sensitivity], [1 - specificity, specificity]])
        found = pass_fail(*(int(count) for count in rng.multinomial(n, shares.ravel())))
        return Trial(place, truth_of(shares), None if found is None else figure(found))

    return draw


def _kappa(found: PassFail) -> Interval | None:
    kappa = found.chance_corrected.kappa
    return None if kappa is None else kappa.interval


def _class_kappa(found: Classes) -> Interval | None:
    kappa = found.chance_corrected.kappa
    return None if kappa is None else kappa.interval


def _kappa_large(found: PassFail) -> Interval | None:
    kappa = found.chance_corrected.kappa
    return None if kappa is None else kappa.large_sample


def _kappa_truth(shares: np.ndarray) -> float:
    return kappa_of(shares.tolist()) or 0.0


def _ac1_truth(shares: np.ndarray) -> float:
    return ac1_of(shares.tolist())


def _errors(rng: np.random.Generator) -> tuple[float, np.ndarray, np.ndarray]:
    """Return a place, errors of a judge in points, and their probabilities."""
    place, exact = _uniform(rng, 0.3, 0.8)
    return place, _ERRORS, _error_shares(exact)


def _error_shares(exact: float) -> np.ndarray:
    rest = np.array([0.05, 0.3, 0.0, 0.5, 0.15]) * (1 - exact)
    rest[2] = exact
    return rest


def _score_error(n: int, absolute: bool) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, errors, shares = _errors(rng)
        human = rng.integers(1, 6, size=n)
        found = scores(human.tolist(), (human + rng.choice(errors, p=shares, size=n)).tolist())
        truth = float((np.abs(errors) if absolute else errors) @ shares)
        return Trial(place, truth, (found.mae if absolute else found.bias).interval)

    return draw


def _rank_correlation(rng: np.random.Generator) -> Trial:
    place, r = _uniform(rng, 0.3, 0.95)
    human = rng.normal(size=PAIRS)
    judge = r * human + (1 - r * r) ** 0.5 * rng.normal(size=PAIRS)
    found = spearman(human.tolist(), judge.tolist())
    return Trial(place, 6 / pi * asin(r / 2), None if found is None else found.interval)


def _stratified(
    rng: np.random.Generator, n_pass: int, n_fail: int
) -> tuple[float, tuple[float, float, float], Stratified]:
    """Return a place, the true rates (judged pass, human pass in each stratum), and a sample."""
    place, share = _uniform(rng, 0.6, 0.95)
    passes, fails = rng.uniform(0.8, 0.98), rng.uniform(0.1, 0.4)
    judged_pass = int(rng.binomial(RESULTS, share))
    counts = Stratified(
        RESULTS, judged_pass, n_pass, int(rng.binomial(n_pass, passes)), n_fail, int(rng.binomial(n_fail, fails))
    )
    return place, (share, passes, fails), counts


def _post_stratified(n_pass: int, n_fail: int) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, (share, passes, fails), counts = _stratified(rng, n_pass, n_fail)
        found = post_stratified(counts)
        truth = share * passes + (1 - share) * fails
        return Trial(place, truth, None if isinstance(found, Refusal) else found.interval)

    return draw


def _stratified_agreement(
    figure: Callable[[PassFail], Interval | None], truth_of: Callable[[np.ndarray], float]
) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, (share, passes, fails), counts = _stratified(rng, 20, 20)
        shares = np.array([[share * passes, (1 - share) * fails], [share * (1 - passes), (1 - share) * (1 - fails)]])
        found = stratified_pass_fail(counts)
        return Trial(place, truth_of(shares), None if found is None else figure(found))

    return draw


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A window of which a stratified queue drew judged passes and judged fails.

    Attributes:
        human, judge: scores of 1 to 5 of all results; 4 and 5 pass. places: the results that were drawn.
    """

    place: float
    human: np.ndarray
    judge: np.ndarray
    places: np.ndarray
    design: Design


def _drawn(rng: np.random.Generator, n_pass: int, n_fail: int) -> _Drawn:
    place, share = _uniform(rng, 0.6, 0.95)
    passing = rng.uniform(size=RESULTS) < share
    judge = np.where(
        passing, rng.choice([4, 5], p=[0.4, 0.6], size=RESULTS), rng.choice([1, 2, 3], p=[0.2, 0.3, 0.5], size=RESULTS)
    )
    exact = rng.uniform(0.4, 0.8)
    # The judge errs more among the results that it fails.
    wrong = np.where(
        passing,
        rng.choice(_ERRORS, p=_error_shares(exact), size=RESULTS),
        rng.choice(_ERRORS, p=_error_shares(exact / 2), size=RESULTS),
    )
    human = np.clip(judge - wrong, 1, 5)
    places = np.concatenate(
        [rng.choice(np.flatnonzero(of), n, replace=False) for of, n in ((passing, n_pass), (~passing, n_fail))]
    )
    weights = [passing.sum() / n_pass] * n_pass + [(~passing).sum() / n_fail] * n_fail
    return _Drawn(place, human, judge, places, Design(weights, ["pass"] * n_pass + ["fail"] * n_fail))


def _weighted_scores(
    n: int, least: int, figure: Callable[[Scores], Estimate | None], truth_of: Callable[[_Drawn], float]
) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        drawn = _drawn(rng, n, n)
        truth = truth_of(drawn)
        if drawn.design.effective < least:
            return Trial(drawn.place, truth, None)
        human, judge = drawn.human[drawn.places], drawn.judge[drawn.places]
        found = figure(weighted_scores(human.tolist(), judge.tolist(), drawn.design))
        return Trial(drawn.place, truth, None if found is None else found.interval)

    return draw


def _weighted_classes(
    n: int, figure: Callable[[Classes], Interval | None], truth_of: Callable[[np.ndarray], float]
) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        drawn = _drawn(rng, n, n)
        human, judge = drawn.human - 1, drawn.judge - 1
        shares = np.bincount(human * 5 + judge, minlength=25).reshape(5, 5) / RESULTS
        at = drawn.places
        found = weighted_classes(human[at].tolist(), judge[at].tolist(), 5, drawn.design)
        return Trial(drawn.place, truth_of(shares), None if found is None else figure(found))

    return draw


def _weighted_slice(rng: np.random.Generator) -> Trial:
    """Half of the results are a slice; people and the judge agree if both pass or both fail."""
    drawn = _drawn(rng, 20, 20)
    agreed = (drawn.human >= 4) == (drawn.judge >= 4)
    inside = rng.uniform(size=RESULTS) < 0.5
    at = drawn.places
    if inside[at].sum() < SLICE_PAIRS:
        return Trial(drawn.place, 0.0, None)
    found = rate_within(cells(drawn.design, agreed[at].tolist(), inside[at].tolist()))
    return Trial(drawn.place, float(agreed[inside].mean()), None if found is None else found.interval)


def _length_third(rng: np.random.Generator) -> Trial:
    """The judged-pass rate of human fails, a third of which is drawn at random."""
    drawn = _drawn(rng, 40, 40)
    inside = (drawn.human < 4) & (rng.uniform(size=RESULTS) < 1 / 3)
    passed = drawn.judge >= 4
    at = drawn.places
    found = rate_within(cells(drawn.design, passed[at].tolist(), inside[at].tolist(), certain=True))
    return Trial(drawn.place, float(passed[inside].mean()), None if found is None else found.interval)


def _golden_set(n: int, figure: Callable[[PassFail], Interval | None], truth_of: Callable[[np.ndarray], float]) -> Draw:
    """Return the draw of another version's table: its verdicts are half those of the version that made the strata."""

    def draw(rng: np.random.Generator) -> Trial:
        drawn = _drawn(rng, n, n)
        human, at = drawn.human >= 4, drawn.places
        own = np.where(rng.uniform(size=RESULTS) < rng.uniform(0.7, 0.98), human, ~human)
        judge = np.where(rng.uniform(size=RESULTS) < 0.5, drawn.judge >= 4, own)
        shares = np.bincount(2 * ~human + ~judge, minlength=4).reshape(2, 2) / RESULTS
        found = weighted_pass_fail(human[at].tolist(), judge[at].tolist(), drawn.design)
        enough = found is not None and human[at].sum() >= HUMAN_PASSES
        return Trial(drawn.place, truth_of(shares), figure(found) if found is not None and enough else None)

    return draw


def _without_weights(rng: np.random.Generator) -> Trial:
    drawn = _drawn(rng, 40, 40)
    at = drawn.places
    found = scores(drawn.human[at].tolist(), drawn.judge[at].tolist())
    return Trial(drawn.place, _mae_truth(drawn), found.mae.interval)


def _mae_truth(drawn: _Drawn) -> float:
    return float(np.abs(drawn.judge - drawn.human).mean())


def _bias_truth(drawn: _Drawn) -> float:
    return float((drawn.judge - drawn.human).mean())


def _rho_truth(drawn: _Drawn) -> float:
    return float(spearmanr(drawn.human, drawn.judge).statistic)


def _rogan_gladen(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, truth = _uniform(rng, 0.1, 0.9)
        sensitivity, specificity = rng.uniform(0.8, 0.98, size=2)
        judged_pass = int(rng.binomial(RESULTS, truth * sensitivity + (1 - truth) * (1 - specificity)))
        golden = Golden(n, int(rng.binomial(n, sensitivity)), n, int(rng.binomial(n, specificity)))
        found = rogan_gladen(RESULTS, judged_pass, golden)
        return Trial(place, truth, None if isinstance(found, Refusal) else found.rate.interval)

    return draw


def _mean_score(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, top = _uniform(rng, 0.3, 0.7)
        shares = np.array([0.05, 0.1, 0.15, 0.7, 0.0]) * (1 - top)
        shares[4] = top
        human = rng.choice(5, p=shares, size=n + RESULTS) + 1
        judge = np.clip(human + rng.choice([-1, 0, 1], p=[0.15, 0.55, 0.3], size=len(human)), 1, 5)
        found = ppi_mean(human[:n].tolist(), judge[:n].tolist(), judge[n:].tolist())
        return Trial(place, float(np.arange(1, 6) @ shares), found.mean.interval)

    return draw


def _pass_rate_change(rng: np.random.Generator) -> Trial:
    place, change = _uniform(rng, -0.3, 0.3)
    flips = rng.uniform(abs(change), 0.5)
    better, worse = (flips + change) / 2, (flips - change) / 2
    same = 1 - better - worse
    counts = rng.multinomial(PAIRS, [same / 2, better, worse, same / 2])
    found = compare(Flips(*(int(count) for count in counts)))
    return Trial(place, change, None if found is None else found.difference.interval)


def _paired_change(n: int, bootstrap: bool) -> Draw:
    """Return the draw of a cost: its change is skewed, because costs are."""

    def draw(rng: np.random.Generator) -> Trial:
        place, sigma = _uniform(rng, 0.2, 0.6)
        a = rng.lognormal(0, sigma, size=n)
        b = 0.9 * a * rng.lognormal(-(0.2**2) / 2, 0.2, size=n)
        found = paired_difference(a.tolist(), b.tolist(), rng, resamples=RESAMPLES)
        truth = -0.1 * float(np.exp(sigma**2 / 2))
        return Trial(place, truth, found.bootstrap if bootstrap else found.difference.interval)

    return draw


def _cell(row: int, column: int, of_row: bool) -> Callable[[np.ndarray], float]:
    def truth(shares: np.ndarray) -> float:
        return float(shares[row, column] / (shares[row] if of_row else shares[:, column]).sum())

    return truth


def _accuracy(found: PassFail) -> Interval:
    return found.accuracy.interval


def _sensitivity(found: PassFail) -> Interval | None:
    return None if found.sensitivity is None else found.sensitivity.interval


def _specificity(found: PassFail) -> Interval | None:
    return None if found.specificity is None else found.specificity.interval


def _ac1(found: PassFail) -> Interval:
    return found.chance_corrected.ac1.interval


def _accuracy_truth(shares: np.ndarray) -> float:
    return float(np.trace(shares))


_JUDGE = "sens. 0.7–0.98, spec. 0.7–0.98"
_WINDOW = "judged pass 0.6–0.95"
_COSTS = "spread of costs 0.2–0.6"

ROWS = (
    Row("sensitivity, specificity: Wilson", f"{HUMAN_PASSES}", "0.6–0.98", _rate(HUMAN_PASSES, wilson)),
    Row("accuracy: Wilson", f"{PAIRS}", "0.6–0.98", _rate(PAIRS, wilson)),
    Row("a rate: Clopper–Pearson", f"{PAIRS}", "0.6–0.98", _rate(PAIRS, clopper_pearson)),
    Row("null rate: one-sided", "100", "0.02–0.2", _null_rate),
    Row(
        "kappa: Wilson, chance removed", f"{COEFFICIENT_PAIRS}", _JUDGE, _table(COEFFICIENT_PAIRS, _kappa, _kappa_truth)
    ),
    Row("AC1: Wilson, chance removed", f"{COEFFICIENT_PAIRS}", _JUDGE, _table(COEFFICIENT_PAIRS, _ac1, _ac1_truth)),
    Row(
        "kappa: large sample",
        f"{COEFFICIENT_PAIRS}",
        _JUDGE,
        _table(COEFFICIENT_PAIRS, _kappa_large, _kappa_truth),
        offered=False,
    ),
    Row(
        "AC1: large sample",
        f"{COEFFICIENT_PAIRS}",
        _JUDGE,
        _table(COEFFICIENT_PAIRS, lambda found: found.chance_corrected.ac1.large_sample, _ac1_truth),
        offered=False,
    ),
    Row("stratified accuracy: MOVER", "20 + 20", _WINDOW, _stratified_agreement(_accuracy, _accuracy_truth)),
    Row("stratified sensitivity: MOVER", "20 + 20", _WINDOW, _stratified_agreement(_sensitivity, _cell(0, 0, True))),
    Row("stratified specificity: MOVER", "20 + 20", _WINDOW, _stratified_agreement(_specificity, _cell(1, 1, True))),
    Row("stratified kappa: MOVER", "20 + 20", _WINDOW, _stratified_agreement(_kappa, _kappa_truth)),
    Row("stratified AC1: MOVER", "20 + 20", _WINDOW, _stratified_agreement(_ac1, _ac1_truth)),
    Row(
        "weighted mean absolute error: t",
        "25 + 25",
        _WINDOW,
        _weighted_scores(25, ERROR_PAIRS, lambda found: found.mae, _mae_truth),
    ),
    Row("weighted bias: t", "20 + 20", _WINDOW, _weighted_scores(20, PAIRS, lambda found: found.bias, _bias_truth)),
    Row(
        "weighted Spearman's rho: jackknife",
        "20 + 20",
        _WINDOW,
        _weighted_scores(20, PAIRS, lambda found: found.spearman, _rho_truth),
    ),
    Row(
        "weighted accuracy of classes: MOVER",
        "10 + 10",
        _WINDOW,
        _weighted_classes(10, lambda found: found.accuracy.interval, _accuracy_truth),
    ),
    Row("weighted kappa of classes", "15 + 15", _WINDOW, _weighted_classes(15, _class_kappa, _kappa_truth)),
    Row(
        "weighted AC1 of classes",
        "15 + 15",
        _WINDOW,
        _weighted_classes(15, lambda found: found.chance_corrected.ac1.interval, _ac1_truth),
    ),
    Row("weighted sensitivity of a golden set", "10 + 10", _WINDOW, _golden_set(10, _sensitivity, _cell(0, 0, True))),
    Row("weighted AC1 of a golden set", "15 + 15", _WINDOW, _golden_set(15, _ac1, _ac1_truth)),
    Row("weighted slice: MOVER", f"{SLICE_PAIRS} of 20 + 20", _WINDOW, _weighted_slice),
    Row("weighted length third: MOVER", "40 + 40", _WINDOW, _length_third),
    Row("mean absolute error without weights: t", "40 + 40", _WINDOW, _without_weights, offered=False),
    Row("mean absolute error: t", f"{ERROR_PAIRS}", "exact 0.3–0.8", _score_error(ERROR_PAIRS, absolute=True)),
    Row("bias: t", f"{PAIRS}", "exact 0.3–0.8", _score_error(PAIRS, absolute=False)),
    Row("Spearman's rho: Bonett–Wright", f"{PAIRS}", "r 0.3–0.95", _rank_correlation),
    Row("pass rate, post-stratified: MOVER", "30 + 10", _WINDOW, _post_stratified(30, 10)),
    Row("pass rate, post-stratified: MOVER", "10 + 30", _WINDOW, _post_stratified(10, 30)),
    Row(
        "pass rate, Rogan–Gladen: Lang–Reiczigel",
        f"{CLASS_MINIMUM} + {CLASS_MINIMUM}",
        "0.1–0.9",
        _rogan_gladen(CLASS_MINIMUM),
    ),
    Row("mean score: PPI++", f"{SCORE_LABELS}", "top score 0.3–0.7", _mean_score(SCORE_LABELS)),
    Row("mean score: PPI++", "20", "top score 0.3–0.7", _mean_score(20), offered=False),
    Row("change of pass rate: Agresti–Min", f"{PAIRS}", "−0.3–0.3", _pass_rate_change),
    Row("change of cost: t", f"{BOOTSTRAP_ITEMS}", _COSTS, _paired_change(BOOTSTRAP_ITEMS, bootstrap=False)),
    Row("change of cost: bootstrap", f"{BOOTSTRAP_ITEMS}", _COSTS, _paired_change(BOOTSTRAP_ITEMS, bootstrap=True)),
    Row("change of cost: bootstrap", "20", _COSTS, _paired_change(20, bootstrap=True), offered=False),
)
