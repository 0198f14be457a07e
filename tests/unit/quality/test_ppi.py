from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.ppi import ppi_mean

SCORES = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=40)
MORE = st.lists(st.integers(1, 5), min_size=1, max_size=80)


@given(SCORES, MORE)
def test_the_chosen_power_is_that_of_the_paper(pairs: list[tuple[int, int]], more: list[int]) -> None:
    human, judge = zip(*pairs, strict=True)
    found = ppi_mean(human, judge, more)
    spread = np.var([*judge, *more], ddof=1)
    best = np.cov(human, judge, ddof=0)[0, 1] / ((1 + len(pairs) / len(more)) * spread) if spread else 0
    assert found.power == pytest.approx(min(max(best, 0), 1))
    assert found.mean.interval.low <= found.mean.value <= found.mean.interval.high
    assert ppi_mean(human, judge, more, power=found.power) == found


@given(SCORES, MORE)
def test_without_power_it_is_the_mean_of_the_labels(pairs: list[tuple[int, int]], more: list[int]) -> None:
    human, judge = zip(*pairs, strict=True)
    found = ppi_mean(human, judge, more, power=0)
    assert found.mean.value == pytest.approx(np.mean(human))
    assert found.se == pytest.approx(np.std(human) / len(human) ** 0.5)


def test_a_judge_that_is_always_right_gives_the_mean_of_all() -> None:
    labelled, more = [1, 2, 3, 4, 5] * 8, [1, 2, 3, 4, 5] * 400
    found = ppi_mean(labelled, labelled, more, power=1)
    assert found.mean.value == pytest.approx(3)
    assert found.se == pytest.approx(np.std(more) / 2000**0.5)


@pytest.mark.parametrize("judge", [[3, 3, 3, 3], [4, 3, 2, 1]])
def test_a_judge_without_use_gets_no_weight(judge: list[float]) -> None:
    found = ppi_mean([1, 2, 3, 4], judge, [3, 3, 3])
    assert found.power == 0
    assert found.mean.value == 2.5
