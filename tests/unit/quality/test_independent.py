"""The difference of two independent rates, against published figures and scipy."""

from __future__ import annotations

from math import inf

import pytest
from scipy.stats import chi2_contingency, fisher_exact

from quality.independent import difference, same_rate_p


@pytest.mark.parametrize(
    ("now", "then", "low", "high"),
    [  # Newcombe 1998, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_the_interval_is_the_published_one(
    now: tuple[int, int], then: tuple[int, int], low: float, high: float
) -> None:
    found = difference(*now, *then)
    assert found is not None
    assert found.estimate.interval == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("table", [(1, 10, 5, 12), (0, 3, 9, 900), (2, 4, 999_990, 1_000_000), (20, 20, 1, 3)])
def test_small_counts_have_the_p_of_fishers_test(table: tuple[int, int, int, int]) -> None:
    passed, decided, passed_then, decided_then = table
    exact = fisher_exact([[passed, decided - passed], [passed_then, decided_then - passed_then]]).pvalue
    assert same_rate_p(*table) == pytest.approx(exact, rel=1e-6)


def test_large_counts_have_the_p_of_the_score_test() -> None:
    score = chi2_contingency([[60, 40], [45, 55]], correction=False).pvalue
    assert same_rate_p(60, 100, 45, 100) == pytest.approx(score, rel=1e-9)
    assert same_rate_p(500_000, 1_000_000, 500_000, 1_000_000) == 1.0
    assert same_rate_p(900_000, 1_000_000, 100_000, 1_000_000) == 0.0


def test_without_results_there_is_nothing_to_compare() -> None:
    assert difference(0, 0, 1, 2) is None
    assert difference(1, 2, 0, 0) is None
    assert same_rate_p(5, 5, 7, 7) == 1.0
    assert same_rate_p(0, 5, 0, 7) < inf
