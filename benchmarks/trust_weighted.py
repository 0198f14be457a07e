"""The samples of `benchmarks.trust` in which a stratified queue drew the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from benchmarks.trust_trials import (
    ERRORS,
    RESULTS,
    Draw,
    Trial,
    error_shares,
    placed,
)
from quality.agreement import Classes, PassFail
from quality.intervals import Estimate, Interval
from quality.minimums import (
    HUMAN_PASSES,
    SLICE_PAIRS,
)
from quality.numeric_agreement import Scores, scores
from quality.weighted import Design, cells, rate_within
from quality.weighted_classes import weighted_classes, weighted_pass_fail
from quality.weighted_scores import weighted_scores


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
    place, share = placed(rng, 0.6, 0.95)
    passing = rng.uniform(size=RESULTS) < share
    judge = np.where(
        passing, rng.choice([4, 5], p=[0.4, 0.6], size=RESULTS), rng.choice([1, 2, 3], p=[0.2, 0.3, 0.5], size=RESULTS)
    )
    exact = rng.uniform(0.4, 0.8)
    # The judge errs more among the results that it fails.
    wrong = np.where(
        passing,
        rng.choice(ERRORS, p=error_shares(exact), size=RESULTS),
        rng.choice(ERRORS, p=error_shares(exact / 2), size=RESULTS),
    )
    human = np.clip(judge - wrong, 1, 5)
    places = np.concatenate(
        [rng.choice(np.flatnonzero(of), n, replace=False) for of, n in ((passing, n_pass), (~passing, n_fail))]
    )
    weights = [passing.sum() / n_pass] * n_pass + [(~passing).sum() / n_fail] * n_fail
    return _Drawn(place, human, judge, places, Design(weights, ["pass"] * n_pass + ["fail"] * n_fail))


def scores_draw(
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


def classes_draw(n: int, figure: Callable[[Classes], Interval | None], truth_of: Callable[[np.ndarray], float]) -> Draw:
    def draw(rng: np.random.Generator) -> Trial:
        drawn = _drawn(rng, n, n)
        human, judge = drawn.human - 1, drawn.judge - 1
        shares = np.bincount(human * 5 + judge, minlength=25).reshape(5, 5) / RESULTS
        at = drawn.places
        found = weighted_classes(human[at].tolist(), judge[at].tolist(), 5, drawn.design)
        return Trial(drawn.place, truth_of(shares), None if found is None else figure(found))

    return draw


def slice_draw(rng: np.random.Generator) -> Trial:
    """Half of the results are a slice; people and the judge agree if both pass or both fail."""
    drawn = _drawn(rng, 20, 20)
    agreed = (drawn.human >= 4) == (drawn.judge >= 4)
    inside = rng.uniform(size=RESULTS) < 0.5
    at = drawn.places
    if inside[at].sum() < SLICE_PAIRS:
        return Trial(drawn.place, 0.0, None)
    found = rate_within(cells(drawn.design, agreed[at].tolist(), inside[at].tolist()))
    return Trial(drawn.place, float(agreed[inside].mean()), None if found is None else found.interval)


def length_third_draw(rng: np.random.Generator) -> Trial:
    """The judged-pass rate of human fails, a third of which is drawn at random."""
    drawn = _drawn(rng, 40, 40)
    inside = (drawn.human < 4) & (rng.uniform(size=RESULTS) < 1 / 3)
    passed = drawn.judge >= 4
    at = drawn.places
    found = rate_within(cells(drawn.design, passed[at].tolist(), inside[at].tolist(), certain=True))
    return Trial(drawn.place, float(passed[inside].mean()), None if found is None else found.interval)


def golden_set_draw(
    n: int, figure: Callable[[PassFail], Interval | None], truth_of: Callable[[np.ndarray], float]
) -> Draw:
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


def unweighted_draw(rng: np.random.Generator) -> Trial:
    drawn = _drawn(rng, 40, 40)
    at = drawn.places
    found = scores(drawn.human[at].tolist(), drawn.judge[at].tolist())
    return Trial(drawn.place, mae_truth(drawn), found.mae.interval)


def mae_truth(drawn: _Drawn) -> float:
    return float(np.abs(drawn.judge - drawn.human).mean())


def bias_truth(drawn: _Drawn) -> float:
    return float((drawn.judge - drawn.human).mean())


def rho_truth(drawn: _Drawn) -> float:
    return float(spearmanr(drawn.human, drawn.judge).statistic)
