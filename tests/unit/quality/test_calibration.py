from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from quality.calibration import Curve, fit_curve, reliability

PAIRS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(PAIRS)
def test_the_brier_score_is_that_of_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    probabilities, outcomes = zip(*pairs, strict=True)
    found = reliability(probabilities, outcomes)
    assert found is not None
    assert found.brier == pytest.approx(brier_score_loss(outcomes, probabilities, pos_label=True))
    assert sum(each.n for each in found.bins) == len(pairs)
    assert 0 <= found.ece <= 1


@pytest.mark.parametrize(
    ("probability", "low"), [(0.0, 0.0), (0.1, 0.0), (0.3, 0.2), (0.7, 0.6), (0.701, 0.7), (0.9, 0.8), (1.0, 0.9)]
)
def test_bins_are_closed_on_the_right(probability: float, low: float) -> None:
    """0.7 · 10 is a little more than 7 in floating point; the bin must not depend on that."""
    found = reliability([probability], [True])
    assert found is not None
    assert found.bins[0].low == low


def test_nothing_to_measure() -> None:
    assert reliability([], []) is None


def overconfident(n: int) -> tuple[list[float], list[bool]]:
    """A judge whose log odds are twice as far from 0 as they should be."""
    rng = np.random.Generator(np.random.PCG64(n))
    truth = rng.uniform(0.05, 0.95, size=n)
    odds = (truth / (1 - truth)) ** 2
    return (odds / (1 + odds)).tolist(), (rng.uniform(size=n) < truth).tolist()


@pytest.mark.parametrize(
    ("n", "method"), [(100, "logistic"), (999, "logistic"), (1000, "isotonic"), (4000, "isotonic")]
)
def test_calibration_makes_an_overconfident_judge_honest(n: int, method: str) -> None:
    curve = fit_curve(*overconfident(n))
    assert curve is not None
    assert curve.method == method
    probabilities, outcomes = overconfident(20_000)
    before, after = reliability(probabilities, outcomes), reliability([curve(each) for each in probabilities], outcomes)
    assert before is not None
    assert after is not None
    assert after.ece < before.ece
    assert after.brier < before.brier


@pytest.mark.parametrize("n", [100, 1000])
def test_a_curve_never_falls_and_stays_within_0_and_1(n: int) -> None:
    curve = fit_curve(*overconfident(n))
    assert curve is not None
    values = [curve(each / 500) for each in range(501)]
    assert values == sorted(values)
    assert values[0] >= 0
    assert values[-1] <= 1


def test_few_labels_or_one_outcome_stay_uncalibrated() -> None:
    probabilities, outcomes = overconfident(99)
    assert fit_curve(probabilities, outcomes) is None
    assert fit_curve([0.9] * 200, [True] * 200) is None


def test_an_isotonic_curve_runs_straight_between_its_points_and_flat_beyond() -> None:
    curve = Curve("isotonic", 1000, ((0.2, 0.1), (0.4, 0.3), (0.8, 0.9)))
    assert [curve(each) for each in (0.0, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)] == pytest.approx(
        [0.1, 0.1, 0.2, 0.3, 0.6, 0.9, 0.9]
    )
