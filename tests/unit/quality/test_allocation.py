from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.allocation import Pilot, golden_sizes, labels_for, neyman

SHARE = st.floats(0, 1)
PILOT = st.integers(0, 50).flatmap(lambda n: st.builds(Pilot, st.just(n), st.integers(0, n)))


@given(st.integers(20, 5000), SHARE, PILOT, PILOT)
def test_strata_share_all_labels_and_each_gets_ten(n: int, share: float, passes: Pilot, fails: Pilot) -> None:
    found = neyman(n, share, passes, fails)
    assert found.labelled_pass + found.labelled_fail == n
    assert min(found.labelled_pass, found.labelled_fail) >= 10


@given(st.integers(20, 2000), st.floats(0.01, 0.99), PILOT, PILOT)
def test_no_other_split_varies_less(n: int, share: float, passes: Pilot, fails: Pilot) -> None:
    def variance(first: int) -> float:
        return (share * passes.deviation) ** 2 / first + ((1 - share) * fails.deviation) ** 2 / (n - first)

    found = neyman(n, share, passes, fails).labelled_pass
    best = min(range(10, n - 9), key=variance)
    assert abs(found - best) <= 1


def test_a_stratum_with_unanimous_labels_still_gets_some() -> None:
    assert neyman(120, 0.5, Pilot(20, 20), Pilot(20, 10)).labelled_pass > 30


@given(st.floats(0.01, 0.3), SHARE, PILOT, PILOT)
def test_the_labels_for_a_width_give_that_width(width: float, share: float, passes: Pilot, fails: Pilot) -> None:
    n = labels_for(width, share, passes, fails)
    spread = share * passes.deviation + (1 - share) * fails.deviation
    assert 1.959964 * spread / n**0.5 <= width + 1e-6
    assert n == 20 or 1.959964 * spread / (n - 1) ** 0.5 > width - 1e-6


@given(st.integers(0, 100), st.integers(0, 5000), SHARE, SHARE, SHARE)
def test_a_golden_set_keeps_its_pilots(pilot: int, more: int, p: float, q0: float, q1: float) -> None:
    m = 2 * pilot + more
    found = golden_sizes(m, p, q0, q1, pilot)
    assert found.m0 + found.m1 == m
    assert min(found.m0, found.m1) >= pilot


def test_rare_passes_need_human_fails() -> None:
    """As p falls to 0 the rate depends on the specificity alone."""
    assert golden_sizes(300, 1e-9, 0.9, 0.9, 20).m1 == 20
    assert golden_sizes(300, 0, 0.9, 0.9, 20).m1 == 20
    assert golden_sizes(300, 1, 0.9, 0.9, 20).m1 == 280


def test_halves_are_rounded_to_even() -> None:
    assert golden_sizes(5, 0.5, 0.9, 0.9, 0).m1 == 2
    assert golden_sizes(7, 0.5, 0.9, 0.9, 0).m1 == 4


def test_too_few_for_the_minimum() -> None:
    with pytest.raises(ValueError, match="19 labels are too few"):
        neyman(19, 0.5, Pilot(0, 0), Pilot(0, 0))
    with pytest.raises(ValueError, match="19 items are too few"):
        golden_sizes(19, 0.5, 0.9, 0.9, 10)
