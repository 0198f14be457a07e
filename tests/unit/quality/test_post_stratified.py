from __future__ import annotations

import pytest
from hypothesis import given

from quality.intervals import Estimate, wilson
from quality.post_stratified import Stratified, post_stratified
from quality.refusals import Refusal
from tests.unit.quality.test_stratified import COUNTS


@given(COUNTS)
def test_the_rate_is_within_its_interval_or_labels_are_missing(counts: Stratified) -> None:
    found = post_stratified(counts)
    if isinstance(found, Refusal):
        assert found.reason == "too_few"
        assert min(counts.labelled_pass, counts.labelled_fail) < 10 or counts.labelled < 40
    else:
        assert 0 <= found.interval.low <= found.value + 1e-9
        assert found.value - 1e-9 <= found.interval.high <= 1


@given(COUNTS)
def test_counting_fails_mirrors_the_rate(counts: Stratified) -> None:
    """The share of human fails is 1 − the share of human passes, interval and all."""
    mirrored = Stratified(
        counts.judged,
        counts.judged - counts.judged_pass,
        counts.labelled_fail,
        counts.labelled_fail - counts.labelled_fail_true,
        counts.labelled_pass,
        counts.labelled_pass - counts.labelled_pass_true,
    )
    ours, theirs = post_stratified(counts), post_stratified(mirrored)
    assert isinstance(ours, Refusal) == isinstance(theirs, Refusal)
    if isinstance(ours, Estimate) and isinstance(theirs, Estimate):
        assert ours.value == pytest.approx(1 - theirs.value)
        assert ours.interval == pytest.approx((1 - theirs.interval.high, 1 - theirs.interval.low))


def test_judged_fails_that_are_better_use_the_other_bound_of_the_share() -> None:
    """The formula of MOVER for A < B, written out."""
    counts = Stratified(200, 120, 40, 10, 40, 30)
    found = post_stratified(counts)
    assert isinstance(found, Estimate)
    p, a, b = 0.6, 0.25, 0.75
    (lp, up), (la, ua), (lb, ub) = (wilson(x, n) or (0, 1) for x, n in ((120, 200), (10, 40), (30, 40)))
    below = ((p * (a - la)) ** 2 + (0.4 * (b - lb)) ** 2 + ((a - b) * (p - up)) ** 2) ** 0.5
    above = ((p * (ua - a)) ** 2 + (0.4 * (ub - b)) ** 2 + ((a - b) * (lp - p)) ** 2) ** 0.5
    assert found.interval == pytest.approx((0.45 - below, 0.45 + above))


@pytest.mark.parametrize(
    ("counts", "missing"),
    [
        (Stratified(100, 80, 9, 9, 31, 2), {"labelled_pass": 1}),
        (Stratified(100, 60, 31, 9, 9, 2), {"labelled_fail": 1}),
        (Stratified(100, 60, 20, 9, 19, 2), {"labelled": 1}),
        (Stratified(0, 0, 0, 0, 0, 0), {"judged": 1, "labelled_pass": 10, "labelled_fail": 10, "labelled": 40}),
    ],
)
def test_too_few_labels_are_counted(counts: Stratified, missing: dict[str, int]) -> None:
    assert post_stratified(counts) == Refusal("too_few", missing)


def test_the_minimum_itself_is_enough() -> None:
    assert isinstance(post_stratified(Stratified(100, 60, 30, 9, 10, 2)), Estimate)
