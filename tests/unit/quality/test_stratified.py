from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.agreement import PassFail, pass_fail
from quality.post_stratified import Stratified
from quality.stratified import stratified_pass_fail

LABELLED = st.integers(1, 80).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
COUNTS = st.builds(
    lambda passes, fails, more_passes, more_fails: Stratified(
        judged=passes[0] + more_passes + fails[0] + more_fails,
        judged_pass=passes[0] + more_passes,
        labelled_pass=passes[0],
        labelled_pass_true=passes[1],
        labelled_fail=fails[0],
        labelled_fail_true=fails[1],
    ),
    LABELLED,
    LABELLED,
    st.integers(0, 10_000),
    st.integers(0, 10_000),
)


def agreed(counts: Stratified) -> PassFail:
    found = stratified_pass_fail(counts)
    assert found is not None
    return found


@given(COUNTS)
def test_with_every_result_labelled_it_is_the_plain_table(counts: Stratified) -> None:
    full = replace(counts, judged=counts.labelled_pass + counts.labelled_fail, judged_pass=counts.labelled_pass)
    ours = agreed(full)
    plain = pass_fail(
        full.labelled_pass_true,
        full.labelled_fail_true,
        full.labelled_pass - full.labelled_pass_true,
        full.labelled_fail - full.labelled_fail_true,
    )
    assert plain is not None
    for name in ("accuracy", "sensitivity", "specificity", "precision_pass", "precision_fail"):
        one, other = getattr(ours, name), getattr(plain, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert one.value == pytest.approx(other.value), name
    assert ours.chance_corrected.ac1.value == pytest.approx(plain.chance_corrected.ac1.value)
    assert ours.prevalence == pytest.approx(plain.prevalence)
    assert ours.chance_corrected.largest_class == pytest.approx(plain.chance_corrected.largest_class)


@given(COUNTS)
def test_each_label_counts_as_the_results_that_it_stands_for(counts: Stratified) -> None:
    """Sensitivity from weights 1/inclusion probability, item by item."""
    weight_pass = counts.judged_pass / counts.labelled_pass
    weight_fail = (counts.judged - counts.judged_pass) / counts.labelled_fail
    tp, fn = weight_pass * counts.labelled_pass_true, weight_fail * counts.labelled_fail_true
    found = agreed(counts).sensitivity
    if tp + fn == 0:
        assert found is None
    else:
        assert found is not None
        assert found.value == pytest.approx(tp / (tp + fn))


@given(COUNTS)
def test_intervals_hold_their_figures(counts: Stratified) -> None:
    found = agreed(counts)
    for each in (found.accuracy, found.sensitivity, found.specificity, found.precision_pass, found.precision_fail):
        if each is not None:
            assert 0 <= each.interval.low <= each.value + 1e-9
            assert each.value - 1e-9 <= each.interval.high <= 1


def test_a_stratum_without_a_single_error_is_not_certain() -> None:
    counts = Stratified(2000, 1900, 20, 20, 20, 5)
    found = agreed(counts)
    assert found.specificity is not None
    assert found.specificity.value == 1
    assert found.specificity.interval.low < 0.3  # 3 in 20 passes may be wrong, and they stand for 1 900


def test_labels_in_one_stratum_only_give_nothing() -> None:
    assert stratified_pass_fail(Stratified(100, 90, 20, 20, 0, 0)) is None
