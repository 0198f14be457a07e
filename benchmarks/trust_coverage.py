"""The samples of `benchmarks.trust`: one function per interval, which draws a truth, a sample and the interval."""

from __future__ import annotations

from collections.abc import Callable
from math import asin, pi

import numpy as np

from benchmarks.trust_trials import (
    ERRORS,
    RESULTS,
    Draw,
    Row,
    Trial,
    ac1_interval,
    ac1_truth,
    accuracy_of,
    accuracy_truth,
    cell,
    class_kappa_interval,
    error_shares,
    kappa_interval,
    kappa_truth,
    placed,
    sensitivity_of,
    specificity_of,
)
from benchmarks.trust_weighted import (
    bias_truth,
    classes_draw,
    golden_set_draw,
    length_third_draw,
    mae_truth,
    rho_truth,
    scores_draw,
    slice_draw,
    unweighted_draw,
)
from quality.agreement import PassFail, pass_fail
from quality.comparison import Flips, compare
from quality.drift import LOWEST_NULL_RATE, null_rate
from quality.intervals import Interval, clopper_pearson, wilson
from quality.minimums import (
    BOOTSTRAP_ITEMS,
    COEFFICIENT_PAIRS,
    ERROR_PAIRS,
    HUMAN_PASSES,
    PAIRS,
    SCORE_LABELS,
    SLICE_PAIRS,
)
from quality.numeric_agreement import scores, spearman
from quality.paired import paired_difference
from quality.post_stratified import Stratified, post_stratified
from quality.ppi import ppi_mean
from quality.refusals import Refusal
from quality.rogan_gladen import CLASS_MINIMUM, Golden, rogan_gladen
from quality.stratified import stratified_pass_fail

RESAMPLES = 1_000


def _rate(n: int, method: Callable[[int, int], Interval | None]) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, truth = placed(rng, 0.6, 0.98)
        return Trial(place, truth, method(int(rng.binomial(n, truth)), n))

    return draw


def _null_rate(rng: np.random.Generator) -> Trial:
    place, truth = placed(rng, LOWEST_NULL_RATE, 0.2)
    return Trial(place, truth, Interval(0.0, null_rate(int(rng.binomial(100, truth)), 100)))


def _table(n: int, figure: Callable[[PassFail], Interval | None], truth_of: Callable[[np.ndarray], float]) -> Draw:
    """Return the draw of a 2×2 table of a judge whose sensitivity and specificity lie from 0.7 to 0.98."""

    def draw(rng: np.random.Generator) -> Trial:
        prevalence = rng.uniform(0.5, 0.9)
        place, sensitivity = placed(rng, 0.7, 0.98)
        specificity = rng.uniform(0.7, 0.98)
        human = np.array([prevalence, 1 - prevalence])
        shares = human[:, None] * np.array([[sensitivity, 1 - sensitivity], [1 - specificity, specificity]])
        found = pass_fail(*(int(count) for count in rng.multinomial(n, shares.ravel())))
        return Trial(place, truth_of(shares), None if found is None else figure(found))

    return draw


def _kappa_large(found: PassFail) -> Interval | None:
    kappa = found.chance_corrected.kappa
    return None if kappa is None else kappa.large_sample


def _errors(rng: np.random.Generator) -> tuple[float, np.ndarray, np.ndarray]:
    """Return a place, errors of a judge in points, and their probabilities."""
    place, exact = placed(rng, 0.3, 0.8)
    return place, ERRORS, error_shares(exact)


def _score_error(n: int, absolute: bool) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, errors, shares = _errors(rng)
        human = rng.integers(1, 6, size=n)
        found = scores(human.tolist(), (human + rng.choice(errors, p=shares, size=n)).tolist())
        truth = float((np.abs(errors) if absolute else errors) @ shares)
        return Trial(place, truth, (found.mae if absolute else found.bias).interval)

    return draw


def _rank_correlation(rng: np.random.Generator) -> Trial:
    place, r = placed(rng, 0.3, 0.95)
    human = rng.normal(size=PAIRS)
    judge = r * human + (1 - r * r) ** 0.5 * rng.normal(size=PAIRS)
    found = spearman(human.tolist(), judge.tolist())
    return Trial(place, 6 / pi * asin(r / 2), None if found is None else found.interval)


def _stratified(
    rng: np.random.Generator, n_pass: int, n_fail: int
) -> tuple[float, tuple[float, float, float], Stratified]:
    """Return a place, the true rates (judged pass, human pass in each stratum), and a sample."""
    place, share = placed(rng, 0.6, 0.95)
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


def _rogan_gladen(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, truth = placed(rng, 0.1, 0.9)
        sensitivity, specificity = rng.uniform(0.8, 0.98, size=2)
        judged_pass = int(rng.binomial(RESULTS, truth * sensitivity + (1 - truth) * (1 - specificity)))
        golden = Golden(n, int(rng.binomial(n, sensitivity)), n, int(rng.binomial(n, specificity)))
        found = rogan_gladen(RESULTS, judged_pass, golden)
        return Trial(place, truth, None if isinstance(found, Refusal) else found.rate.interval)

    return draw


def _mean_score(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        place, top = placed(rng, 0.3, 0.7)
        shares = np.array([0.05, 0.1, 0.15, 0.7, 0.0]) * (1 - top)
        shares[4] = top
        human = rng.choice(5, p=shares, size=n + RESULTS) + 1
        judge = np.clip(human + rng.choice([-1, 0, 1], p=[0.15, 0.55, 0.3], size=len(human)), 1, 5)
        found = ppi_mean(human[:n].tolist(), judge[:n].tolist(), judge[n:].tolist())
        return Trial(place, float(np.arange(1, 6) @ shares), found.mean.interval)

    return draw


def _pass_rate_change(rng: np.random.Generator) -> Trial:
    place, change = placed(rng, -0.3, 0.3)
    flips = rng.uniform(abs(change), 0.5)
    better, worse = (flips + change) / 2, (flips - change) / 2
    same = 1 - better - worse
    counts = rng.multinomial(PAIRS, [same / 2, better, worse, same / 2])
    found = compare(Flips(*(int(count) for count in counts)))
    return Trial(place, change, None if found is None else found.difference.interval)


def _paired_change(n: int, bootstrap: bool) -> Draw:
    """Return the draw of a cost: its change is skewed, because costs are."""

    def draw(rng: np.random.Generator) -> Trial:
        place, sigma = placed(rng, 0.2, 0.6)
        a = rng.lognormal(0, sigma, size=n)
        b = 0.9 * a * rng.lognormal(-(0.2**2) / 2, 0.2, size=n)
        found = paired_difference(a.tolist(), b.tolist(), rng, resamples=RESAMPLES)
        truth = -0.1 * float(np.exp(sigma**2 / 2))
        return Trial(place, truth, found.bootstrap if bootstrap else found.difference.interval)

    return draw


_JUDGE = "sens. 0.7–0.98, spec. 0.7–0.98"
_WINDOW = "judged pass 0.6–0.95"
_COSTS = "spread of costs 0.2–0.6"

ROWS = (
    Row("sensitivity, specificity: Wilson", f"{HUMAN_PASSES}", "0.6–0.98", _rate(HUMAN_PASSES, wilson)),
    Row("accuracy: Wilson", f"{PAIRS}", "0.6–0.98", _rate(PAIRS, wilson)),
    Row("a rate: Clopper–Pearson", f"{PAIRS}", "0.6–0.98", _rate(PAIRS, clopper_pearson)),
    Row("null rate: one-sided", "100", "0.02–0.2", _null_rate),
    Row(
        "kappa: Wilson, chance removed",
        f"{COEFFICIENT_PAIRS}",
        _JUDGE,
        _table(COEFFICIENT_PAIRS, kappa_interval, kappa_truth),
    ),
    Row(
        "AC1: Wilson, chance removed",
        f"{COEFFICIENT_PAIRS}",
        _JUDGE,
        _table(COEFFICIENT_PAIRS, ac1_interval, ac1_truth),
    ),
    Row(
        "kappa: large sample",
        f"{COEFFICIENT_PAIRS}",
        _JUDGE,
        _table(COEFFICIENT_PAIRS, _kappa_large, kappa_truth),
        offered=False,
    ),
    Row(
        "AC1: large sample",
        f"{COEFFICIENT_PAIRS}",
        _JUDGE,
        _table(COEFFICIENT_PAIRS, lambda found: found.chance_corrected.ac1.large_sample, ac1_truth),
        offered=False,
    ),
    Row("stratified accuracy: MOVER", "20 + 20", _WINDOW, _stratified_agreement(accuracy_of, accuracy_truth)),
    Row("stratified sensitivity: MOVER", "20 + 20", _WINDOW, _stratified_agreement(sensitivity_of, cell(0, 0, True))),
    Row("stratified specificity: MOVER", "20 + 20", _WINDOW, _stratified_agreement(specificity_of, cell(1, 1, True))),
    Row("stratified kappa: MOVER", "20 + 20", _WINDOW, _stratified_agreement(kappa_interval, kappa_truth)),
    Row("stratified AC1: MOVER", "20 + 20", _WINDOW, _stratified_agreement(ac1_interval, ac1_truth)),
    Row(
        "weighted mean absolute error: t",
        "25 + 25",
        _WINDOW,
        scores_draw(25, ERROR_PAIRS, lambda found: found.mae, mae_truth),
    ),
    Row("weighted bias: t", "20 + 20", _WINDOW, scores_draw(20, PAIRS, lambda found: found.bias, bias_truth)),
    Row(
        "weighted Spearman's rho: jackknife",
        "20 + 20",
        _WINDOW,
        scores_draw(20, PAIRS, lambda found: found.spearman, rho_truth),
    ),
    Row(
        "weighted accuracy of classes: MOVER",
        "10 + 10",
        _WINDOW,
        classes_draw(10, lambda found: found.accuracy.interval, accuracy_truth),
    ),
    Row("weighted kappa of classes", "15 + 15", _WINDOW, classes_draw(15, class_kappa_interval, kappa_truth)),
    Row(
        "weighted AC1 of classes",
        "15 + 15",
        _WINDOW,
        classes_draw(15, lambda found: found.chance_corrected.ac1.interval, ac1_truth),
    ),
    Row(
        "weighted sensitivity of a golden set",
        "10 + 10",
        _WINDOW,
        golden_set_draw(10, sensitivity_of, cell(0, 0, True)),
    ),
    Row("weighted AC1 of a golden set", "15 + 15", _WINDOW, golden_set_draw(15, ac1_interval, ac1_truth)),
    Row("weighted slice: MOVER", f"{SLICE_PAIRS} of 20 + 20", _WINDOW, slice_draw),
    Row("weighted length third: MOVER", "40 + 40", _WINDOW, length_third_draw),
    Row("mean absolute error without weights: t", "40 + 40", _WINDOW, unweighted_draw, offered=False),
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
