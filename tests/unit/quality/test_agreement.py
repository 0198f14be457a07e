from __future__ import annotations

from itertools import repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score
from statsmodels.stats.inter_rater import cohens_kappa

from quality.agreement import PassFail, ac1_of, classes, pass_fail, word_of

CELL = st.integers(0, 60)
TABLES = st.integers(2, 5).flatmap(
    lambda size: st.lists(st.lists(CELL, min_size=size, max_size=size), min_size=size, max_size=size)
)


def agreed(tp: int, fn: int, fp: int, tn: int) -> PassFail:
    found = pass_fail(tp, fn, fp, tn)
    assert found is not None
    return found


@given(TABLES.filter(lambda table: sum(map(sum, table)) > 0))
def test_kappa_and_its_large_sample_interval_are_those_of_statsmodels(table: list[list[int]]) -> None:
    found = classes(table)
    assert found is not None
    kappa = found.chance_corrected.kappa
    rows, columns = np.sum(table, axis=1), np.sum(table, axis=0)
    by_chance = (rows @ columns) / found.n**2
    assert (kappa is None) == (by_chance == 1)
    if kappa is None:
        return
    with np.errstate(all="ignore"):  # statsmodels divides by its variance under chance, which can be 0
        theirs = cohens_kappa(np.array(table))
    assert kappa.value == pytest.approx(theirs.kappa, abs=1e-9)
    assert kappa.large_sample is not None
    if theirs.var_kappa > 1e-12:
        bounds = (max(-1, theirs.kappa_low), min(1, theirs.kappa_upp))
        assert kappa.large_sample == pytest.approx(bounds, abs=1e-6)


@given(TABLES.filter(lambda table: sum(map(sum, table)) > 0))
def test_f1_and_balanced_accuracy_are_those_of_scikit_learn(table: list[list[int]]) -> None:
    found = classes(table)
    assert found is not None
    human, judge = [], []
    for row, counts in enumerate(table):
        for column, count in enumerate(counts):
            human.extend(repeat(row, count))
            judge.extend(repeat(column, count))
    assert found.macro_f1 == pytest.approx(f1_score(human, judge, average="macro", zero_division=0))
    if len(set(human)) > 1 and set(judge) <= set(human):  # scikit-learn warns of everything else
        assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(human, judge))


@given(TABLES.filter(lambda table: sum(map(sum, table)) > 0))
def test_intervals_hold_their_figures(table: list[list[int]]) -> None:
    found = classes(table)
    assert found is not None
    for each in (found.chance_corrected.kappa, found.chance_corrected.ac1):
        if each is not None:
            assert each.large_sample is not None
            for interval in (each.interval, each.large_sample):
                assert -1 <= interval.low <= each.value + 1e-9
                assert each.value - 1e-9 <= interval.high <= 1


@given(CELL, CELL, CELL, st.integers(1, 60))
def test_pass_and_fail_are_symmetric(tp: int, fn: int, fp: int, tn: int) -> None:
    ours, theirs = agreed(tp, fn, fp, tn), agreed(tn, fp, fn, tp)
    assert ours.sensitivity == theirs.specificity
    assert ours.precision_pass == theirs.precision_fail
    assert ours.chance_corrected.ac1.value == pytest.approx(theirs.chance_corrected.ac1.value)


@given(CELL, CELL, CELL, st.integers(1, 60))
def test_a_pass_fail_table_is_a_table_of_two_classes(tp: int, fn: int, fp: int, tn: int) -> None:
    found = classes([[tp, fn], [fp, tn]])
    assert found is not None
    assert found.chance_corrected == agreed(tp, fn, fp, tn).chance_corrected


def test_nothing_and_one_class_only() -> None:
    assert pass_fail(0, 0, 0, 0) is None
    assert classes([[0, 0], [0, 0]]) is None
    found = agreed(30, 0, 0, 0)
    assert found.specificity is None
    assert found.precision_fail is None
    assert found.chance_corrected.kappa is None
    assert found.chance_corrected.headline == "ac1"


def test_ac1_of_even_margins_is_kappa_and_survives_skew_where_kappa_does_not() -> None:
    even = agreed(40, 10, 10, 40).chance_corrected
    assert even.kappa is not None
    assert even.kappa.value == pytest.approx(even.ac1.value)
    skewed = agreed(94, 3, 2, 1).chance_corrected
    assert skewed.kappa is not None
    assert skewed.kappa.value < 0.3 < 0.9 < skewed.ac1.value


def test_prevalence_is_the_share_of_human_passes() -> None:
    found = agreed(10, 5, 3, 82)
    assert found.prevalence == 0.15
    assert found.chance_corrected.largest_class == 0.85


def test_ac1_of_answers_by_coin_is_0() -> None:
    assert ac1_of([[0.25, 0.25], [0.25, 0.25]]) == pytest.approx(0)


@pytest.mark.parametrize(("passes", "headline"), [(79, "kappa"), (80, "ac1"), (21, "kappa"), (20, "ac1")])
def test_ac1_leads_from_four_fifths_of_one_class_on(passes: int, headline: str) -> None:
    assert agreed(passes, 0, 2, 98 - passes).chance_corrected.headline == headline


@pytest.mark.parametrize(
    ("low", "word"),
    [(-1, "poor"), (0.39, "poor"), (0.4, "fair"), (0.6, "good"), (0.79, "good"), (0.8, "strong"), (1, "strong")],
)
def test_the_word_follows_the_lower_bound(low: float, word: str) -> None:
    assert word_of(low) == word


def test_the_word_is_that_of_the_headline() -> None:
    found = agreed(85, 7, 5, 23).chance_corrected
    assert found.kappa is not None
    assert (found.headline, word_of(found.kappa.interval.low), word_of(found.ac1.interval.low)) == (
        "kappa",
        "fair",
        "good",
    )
    assert found.word == "fair"


def test_thirty_items_that_all_agree_do_not_prove_a_strong_judge() -> None:
    """The large-sample interval has no width there; the word must not follow it."""
    found = agreed(15, 0, 0, 15).chance_corrected
    assert found.kappa is not None
    assert found.kappa.large_sample == (1, 1)
    assert found.kappa.interval.low == pytest.approx(0.772973, abs=1e-6)
    assert found.word == "good"
