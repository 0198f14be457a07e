from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from quality.numeric_agreement import scores, spearman

PAIRS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=4, max_size=60)


@given(PAIRS)
def test_the_rank_correlation_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    human, judge = zip(*pairs, strict=True)
    found = spearman(human, judge)
    if len(set(human)) == 1 or len(set(judge)) == 1:
        assert found is None
    else:
        assert found is not None
        assert found.value == pytest.approx(stats.spearmanr(human, judge).statistic)
        assert found.interval.low - 1e-9 <= found.value <= found.interval.high + 1e-9


@given(PAIRS)
def test_errors_are_measured_from_the_human_score(pairs: list[tuple[int, int]]) -> None:
    human, judge = zip(*pairs, strict=True)
    found, other = scores(human, judge), scores(judge, human)
    assert found.bias.value == pytest.approx(sum(judge) / len(judge) - sum(human) / len(human))
    assert found.bias.value == pytest.approx(-other.bias.value)
    assert found.mae.value == pytest.approx(other.mae.value)
    assert found.mae.value >= abs(found.bias.value) - 1e-9
    assert found.mae.interval.low >= 0


def test_three_pairs_have_no_rank_correlation() -> None:
    assert scores([1, 2, 3], [1, 2, 3]).spearman is None


def test_perfect_correlation_is_the_limit_of_the_formula() -> None:
    found = spearman([1, 2, 3, 4, 5], [10, 20, 30, 40, 50])
    assert found is not None
    assert found.value == pytest.approx(1)
    assert found.interval == (1, 1)
    opposite = spearman([1, 2, 3, 4, 5], [5, 4, 3, 2, 1])
    assert opposite is not None
    assert opposite.interval == (-1, -1)
