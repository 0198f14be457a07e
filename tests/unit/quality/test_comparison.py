from __future__ import annotations

from math import floor
from statistics import NormalDist

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests

from quality.comparison import Compared, Flips, compare, holm, mcnemar, outcome_of
from quality.intervals import Interval

CELL = st.integers(0, 500)
FLIPS = st.builds(Flips, CELL, CELL, CELL, CELL)


def compared(flips: Flips, margin: float = 0.02) -> Compared:
    found = compare(flips, margin)
    assert found is not None
    return found


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_that_of_statsmodels(b: int, c: int) -> None:
    assume(b + c > 0)
    theirs = their_mcnemar([[0, b], [c, 0]], exact=True)
    assert mcnemar(b, c) == pytest.approx(theirs.pvalue, rel=1e-6)


def test_mcnemar_of_many_flips_is_that_of_the_normal_distribution() -> None:
    for b in (10**6, 10**9, 10**13):
        c = b + 3 * floor((2 * b) ** 0.5)
        assert mcnemar(b, c) == pytest.approx(2 * NormalDist().cdf(-3), rel=0.02)


@settings(max_examples=10)  # statsmodels collects garbage each time
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_nothing_to_correct_or_compare() -> None:
    assert holm([]) == []
    assert compare(Flips(0, 0, 0, 0)) is None
    assert mcnemar(0, 0) == 1


@given(FLIPS.filter(lambda flips: flips.n > 0))
def test_swapping_the_versions_mirrors_the_outcome(flips: Flips) -> None:
    swapped = Flips(flips.both_pass, flips.pass_to_fail, flips.fail_to_pass, flips.both_fail)
    ours, theirs = compared(flips), compared(swapped)
    assert ours.difference.value == -theirs.difference.value
    assert ours.mcnemar_p == theirs.mcnemar_p
    assert ours.n_to_decide == theirs.n_to_decide
    mirror = {"better": "worse", "worse": "better"}
    assert mirror.get(ours.outcome, ours.outcome) == theirs.outcome


@given(FLIPS.filter(lambda flips: flips.n > 0), st.floats(0.001, 0.5))
def test_an_undecided_comparison_says_how_many_items_would_decide(flips: Flips, margin: float) -> None:
    found = compared(flips, margin)
    if found.outcome != "undecided":
        assert found.n_to_decide is None
        return
    assert found.n_to_decide is not None
    assert found.n_to_decide > found.n
    # The same shares of n + 2 among n_to_decide + 2 items decide, and among one item less they do not.
    centre = (flips.fail_to_pass - flips.pass_to_fail) / (flips.n + 2)
    variance = (flips.pass_to_fail + flips.fail_to_pass + 1) / (flips.n + 2) - centre**2

    def at(n: int) -> str:
        half = 1.959963984540054 * (variance / (n + 2)) ** 0.5
        return outcome_of(Interval(centre - half, centre + half), margin)

    half = max(abs(centre), margin - abs(centre))
    exact = variance * (1.959963984540054 / half) ** 2
    assume(abs(exact - round(exact)) > 1e-6)  # rounding decides there
    assert at(found.n_to_decide) != "undecided"
    assert at(found.n_to_decide - 1) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.001, 0.3, "better"),
        (-0.3, -0.001, "worse"),
        (-0.01, 0.01, "equivalent"),
        (0.001, 0.01, "equivalent"),  # proven, but too small to matter
        (-0.01, 0.03, "undecided"),
        (-0.02, 0.01, "undecided"),
        (0.0, 0.03, "undecided"),
    ],
)
def test_the_outcome_follows_the_interval_and_the_margin(low: float, high: float, outcome: str) -> None:
    assert outcome_of(Interval(low, high), 0.02) == outcome
