from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.trust import TARGET, cover
from benchmarks.trust_coverage import ROWS, Row
from quality.agreement import classes, pass_fail
from quality.alpha import alpha
from quality.independent import same_rate_p
from quality.intervals import mean, rate
from quality.numeric_agreement import spearman
from quality.options import options
from quality.post_stratified import Stratified
from quality.slices import slices
from quality.stratified import stratified_pass_fail
from quality.weighted import Design, cells, difference_p, rate_within, weighted_mean
from quality.weighted_classes import weighted_classes, weighted_options, weighted_pass_fail
from quality.weighted_scores import weighted_alpha, weighted_scores, weighted_spearman

OFFERED = [row for row in ROWS if row.name.startswith("weighted")]
SCORES = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=4, max_size=60)


def equal(n: int, weight: float = 3.5) -> Design:
    return Design([weight] * n, ["all"] * n)


@pytest.mark.parametrize("row", OFFERED, ids=lambda row: row.name)
def test_each_weighted_interval_covers_the_truth_of_the_window(row: Row) -> None:
    """The fewest labels for which the figure is shown, of a queue that is stratified by the verdict."""
    found = cover(row, 1_000, seed=20)
    assert found.coverage >= TARGET
    assert found.refused < 0.6


def test_without_weights_the_interval_misses_the_truth() -> None:
    row = next(row for row in ROWS if row.name == "mean absolute error without weights: t")
    assert not row.offered
    assert cover(row, 400, seed=20).coverage < 0.8


@given(SCORES)
def test_equal_weights_give_the_figures_without_weights(pairs: list[tuple[int, int]]) -> None:
    human, judge = zip(*pairs, strict=True)
    design = equal(len(pairs))
    found, plain = weighted_spearman(human, judge, design), spearman(human, judge)
    assert (found is None) == (plain is None)
    if found is not None and plain is not None:
        assert found.value == pytest.approx(plain.value)
    one, other = weighted_alpha(human, judge, design), alpha(list(pairs), "interval")
    assert one == (None if other is None else pytest.approx(other))
    errors = [b - a for a, b in pairs]
    assert weighted_mean(errors, design).value == pytest.approx(mean(errors).value)
    assert weighted_mean(errors, design).interval == pytest.approx(mean(errors).interval)
    assert design.effective == pytest.approx(len(pairs))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_equal_weights_give_the_classes_without_weights(pairs: list[tuple[int, int]]) -> None:
    human, judge = zip(*pairs, strict=True)
    table = [[pairs.count((row, column)) for column in range(3)] for row in range(3)]
    found, plain = weighted_classes(human, judge, 3, equal(len(pairs))), classes(table)
    assert found is not None
    assert plain is not None
    assert found.accuracy.interval == pytest.approx(plain.accuracy.interval)
    assert found.macro_f1 == pytest.approx(plain.macro_f1)
    ours, theirs = found.chance_corrected, plain.chance_corrected
    assert ours.ac1.interval == pytest.approx(theirs.ac1.interval)
    if ours.kappa is not None and theirs.kappa is not None:
        assert ours.kappa.interval == pytest.approx(theirs.kappa.interval)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_equal_weights_give_passes_and_fails_without_weights(pairs: list[tuple[bool, bool]]) -> None:
    human, judge = [each for each, _ in pairs], [each for _, each in pairs]
    found = weighted_pass_fail(human, judge, equal(len(pairs)))
    plain = pass_fail(*(pairs.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))))
    assert (found is None) == (plain is None)
    if found is None or plain is None:
        return
    assert found.prevalence == pytest.approx(plain.prevalence)
    assert found.accuracy.interval == pytest.approx(plain.accuracy.interval)
    assert found.chance_corrected.ac1.interval == pytest.approx(plain.chance_corrected.ac1.interval)
    assert found.chance_corrected.headline == plain.chance_corrected.headline
    for name in ("sensitivity", "specificity", "precision_pass", "precision_fail"):
        ours, theirs = getattr(found, name), getattr(plain, name)
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert ours.value == pytest.approx(theirs.value)
            # Whether an item is one of the human passes is not known beforehand, which can only widen the interval.
            assert ours.interval.low <= theirs.interval.low + 1e-9
            assert ours.interval.high >= theirs.interval.high - 1e-9


def test_passes_and_fails_of_heavy_labels_weigh_more() -> None:
    """Labels of one weight are right, and labels that stand for nine results each are wrong half of the time."""
    human = [True] * 10 + [False] * 10 + [True] * 10 + [False] * 10
    judge = [*human[:20], *[True, False] * 10]
    found = weighted_pass_fail(human, judge, Design([1.0] * 20 + [9.0] * 20, [1] * 20 + [9] * 20))
    assert found is not None
    assert found.prevalence == pytest.approx(0.5)
    assert found.accuracy.value == pytest.approx((20 + 9 * 10) / 200)
    assert found.sensitivity is not None
    assert found.sensitivity.value == pytest.approx((10 + 9 * 5) / 100)
    assert found.specificity is not None
    assert found.specificity.value == pytest.approx((10 + 9 * 5) / 100)
    assert found.precision_pass is not None
    assert found.precision_pass.value == pytest.approx(55 / 100)


@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc"))), min_size=1, max_size=30))
def test_equal_weights_give_the_options_without_weights(pairs: list[tuple[set[str], set[str]]]) -> None:
    human, judge = zip(*pairs, strict=True)
    found, plain = weighted_options(human, judge, equal(len(pairs))), options(human, judge)
    assert found is not None
    assert plain is not None
    assert found.jaccard == pytest.approx(plain.jaccard)
    assert set(found.by_option) == set(plain.by_option)
    for name, each in plain.by_option.items():
        assert found.by_option[name].accuracy.value == pytest.approx(each.accuracy.value)


def test_a_stratum_decides_what_is_a_success_even_where_none_of_its_items_is_inside() -> None:
    """No judged pass is a human fail, but 20 labels stand for 95 % of the results: the rate may be great yet."""
    design = Design([47.5] * 20 + [2.5] * 20, ["pass"] * 20 + ["fail"] * 20)
    passed, fails = [True] * 20 + [False] * 20, [False] * 20 + [True] * 15 + [False] * 5
    found = rate_within(cells(design, passed, fails, certain=True))
    assert found is not None
    assert found.value == 0
    assert found.interval.high > 0.5


def test_weights_are_those_of_the_table_of_passes_and_fails() -> None:
    """The specificity is the share of judged fails among the human fails."""
    counts = Stratified(1000, 800, 40, 36, 40, 8)
    table = stratified_pass_fail(counts)
    design = Design([20.0] * 40 + [5.0] * 40, ["pass"] * 40 + ["fail"] * 40)
    human_fails = [False] * 36 + [True] * 4 + [False] * 8 + [True] * 32
    found = rate_within(cells(design, [False] * 40 + [True] * 40, human_fails, certain=True))
    assert table is not None
    assert table.specificity is not None
    assert found is not None
    assert found.value == pytest.approx(table.specificity.value)


def test_items_of_no_slice_have_no_rate() -> None:
    counts = cells(equal(3), [True, True, False], [False, False, False])
    assert rate_within(counts) is None
    assert difference_p(counts, counts) is None


def test_the_p_of_a_difference_is_near_the_score_test_and_uniform_where_there_is_none() -> None:
    of_one, of_other = [True] * 80 + [False] * 20, [True] * 60 + [False] * 40
    one, other = cells(equal(100), of_one), cells(equal(100), of_other)
    assert difference_p(one, other) == pytest.approx(same_rate_p(80, 100, 60, 100), abs=0.003)
    assert difference_p(one, one) == pytest.approx(1)
    rng = np.random.Generator(np.random.PCG64(3))
    small = 0
    for _ in range(300):
        agreed = [*(rng.uniform(size=30) < 0.9).tolist(), *(rng.uniform(size=30) < 0.6).tolist()]
        names = rng.choice(["a", "b"], size=60).tolist()
        design = Design([19.0] * 30 + [1.0] * 30, [True] * 30 + [False] * 30)
        found = slices(names, agreed, design)
        p = [each.p for each in found if each.p is not None]
        small += any(each < 0.05 for each in p)
    assert small <= 300 * 0.08


def test_slices_without_a_design_are_rates_with_fishers_test() -> None:
    names, agreed = ["a"] * 30 + ["b"] * 30, [True] * 30 + [True] * 10 + [False] * 20
    found = slices(names, agreed)
    assert [each.name for each in found] == ["a", "b"]
    assert [each.accuracy for each in found] == [rate(30, 30), rate(10, 30)]
    assert all(each.p is not None and each.p < 0.001 for each in found)


def test_single_items_of_a_stratum_are_joined_with_the_nearest_weight() -> None:
    design = Design([1, 1, 5, 20, 20], ["low", "low", "lone", "high", "high"])
    assert design.parts() == [[0, 1], [2], [3, 4]]
    assert design.parts(at_least=2) == [[0, 1], [2, 3, 4]]
    assert Design([1, 1, 9], ["a", "a", "b"]).parts(at_least=2) == [[0, 1, 2]]
    found = weighted_mean([1.0, 2.0, 3.0, 4.0, 6.0], design)
    assert found.value == pytest.approx((1 + 2 + 15 + 80 + 120) / 47)
    assert found.interval.low < found.value < found.interval.high


def test_heavy_labels_count_as_fewer() -> None:
    assert Design([9] * 10 + [1] * 10, [9] * 10 + [1] * 10).effective == pytest.approx(100**2 / (10 * 81 + 10))
    assert Design([], []).effective == 0


@pytest.mark.parametrize("figure", [lambda found: found.spearman, lambda found: found.alpha])
def test_scores_that_are_all_equal_have_no_association(figure: Callable[[object], object]) -> None:
    assert figure(weighted_scores([3, 3, 3, 3], [3, 3, 3, 3], equal(4))) is None


def test_perfect_order_is_the_limit_of_the_formula() -> None:
    found = weighted_spearman([1, 2, 3, 4], [2, 4, 6, 8], Design([1, 1, 7, 7], [0, 0, 1, 1]))
    assert found is not None
    assert found.value == pytest.approx(1)
    assert found.interval == pytest.approx((1, 1))
