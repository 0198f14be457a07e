from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.clickhouse.wilson import wilson_interval


@pytest.mark.parametrize(
    ("passed", "decided", "low", "high"),
    # Agresti & Coull (1998) and R's prop.test(x, n, correct=FALSE).
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_known_values(passed: int, decided: int, low: float, high: float) -> None:
    found = wilson_interval(passed, decided)
    assert found == pytest.approx((low, high), abs=5e-5)


def test_no_trials_have_no_rate() -> None:
    assert wilson_interval(0, 0) is None


@given(st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_lies_within_0_and_1_and_holds_the_rate(numbers: tuple[int, int]) -> None:
    passed, decided = numbers
    bounds = wilson_interval(passed, decided)
    assert bounds is not None
    assert 0 <= bounds[0] <= passed / decided + 1e-12
    assert passed / decided - 1e-12 <= bounds[1] <= 1
