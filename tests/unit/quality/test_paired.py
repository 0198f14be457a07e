from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.paired import generator, paired_difference

VALUES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=30)


def test_the_same_id_gives_the_same_numbers_and_another_id_others() -> None:
    a, b = list(range(50)), [value * 1.1 for value in range(50)]
    one, again, other = (paired_difference(a, b, generator(each)).bootstrap for each in ("c1", "c1", "c2"))
    assert one == again != other


@settings(max_examples=30)
@given(VALUES)
def test_the_bootstrap_holds_the_mean_and_stays_within_the_changes(pairs: list[tuple[int, int]]) -> None:
    a, b = zip(*pairs, strict=True)
    found = paired_difference(a, b, generator("c"), resamples=2000)
    changes = [after - before for before, after in pairs]
    assert found.bootstrap is not None
    assert min(changes) <= found.bootstrap.low <= found.bootstrap.high <= max(changes)
    assert found.difference.value == pytest.approx(np.mean(changes))


def test_items_of_one_trace_are_resampled_together() -> None:
    """Ten copies of each of 20 traces carry the information of 20 items, not of 200."""
    rng = np.random.Generator(np.random.PCG64(7))
    once = rng.normal(size=20)
    copies = np.repeat(once, 10)
    groups = [f"trace {at // 10}" for at in range(200)]
    zeros = [0.0] * 200
    alone = paired_difference(zeros[:20], once.tolist(), generator("c")).bootstrap
    together = paired_difference(zeros, copies.tolist(), generator("c"), groups=groups).bootstrap
    apart = paired_difference(zeros, copies.tolist(), generator("c")).bootstrap
    assert alone is not None
    assert together is not None
    assert apart is not None
    assert together == pytest.approx(alone, abs=0.03)
    assert apart.high - apart.low < 0.5 * (together.high - together.low)


def test_traces_of_different_length_weigh_by_their_items() -> None:
    found = paired_difference([0, 0, 0, 0], [1, 1, 1, 5], generator("c"), groups=["x", "x", "x", "y"])
    assert found.difference.value == 2
    assert found.bootstrap == (1, 5)  # only x, or only y


def test_one_trace_cannot_be_resampled() -> None:
    assert paired_difference([1, 2], [2, 2], generator("c"), groups=["x", "x"]).bootstrap is None


def test_the_spread_of_each_version() -> None:
    found = paired_difference([1, 2, 3, 4, 100], [1, 1, 1, 1, 1], generator("c"))
    assert (found.a.mean, found.a.median) == (22, 3)
    assert found.a.p95 == pytest.approx(80.8)
    assert (found.b.mean, found.b.median, found.b.p95) == (1, 1, 1)
