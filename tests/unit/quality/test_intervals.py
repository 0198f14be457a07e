from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from quality.intervals import Interval, clopper_pearson, clopper_pearson_upper, mean, rate, wilson

COUNTS = st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
FEW = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


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
    found = wilson(passed, decided)
    assert found == pytest.approx((low, high), abs=5e-5)


def test_no_trials_have_no_rate() -> None:
    assert wilson(0, 0) is None
    assert clopper_pearson(0, 0) is None
    assert rate(0, 0) is None
    assert clopper_pearson_upper(0, 0) == 1


@given(COUNTS)
def test_the_interval_lies_within_0_and_1_and_holds_the_rate(numbers: tuple[int, int]) -> None:
    passed, decided = numbers
    bounds = wilson(passed, decided)
    assert bounds is not None
    assert 0 <= bounds.low <= passed / decided + 1e-12
    assert passed / decided - 1e-12 <= bounds.high <= 1


@given(FEW)
def test_wilson_and_clopper_pearson_are_those_of_statsmodels(numbers: tuple[int, int]) -> None:
    passed, decided = numbers
    assert wilson(passed, decided) == pytest.approx(proportion_confint(passed, decided, method="wilson"), abs=1e-9)
    exact = proportion_confint(passed, decided, method="beta")
    assert clopper_pearson(passed, decided) == pytest.approx(exact, abs=1e-9)


@given(FEW)
def test_failures_have_the_mirrored_interval(numbers: tuple[int, int]) -> None:
    passed, decided = numbers
    for method in (wilson, clopper_pearson):
        ours, theirs = method(passed, decided), method(decided - passed, decided)
        assert ours is not None
        assert theirs is not None
        assert ours == pytest.approx((1 - theirs.high, 1 - theirs.low), abs=1e-9)


@given(FEW)
def test_more_passes_move_the_interval_up_and_more_trials_shorten_it(numbers: tuple[int, int]) -> None:
    passed, decided = numbers
    now, more, longer = wilson(passed, decided), wilson(passed + 1, decided + 1), wilson(2 * passed, 2 * decided)
    assert now is not None
    assert more is not None
    assert longer is not None
    assert more.low >= now.low - 1e-12
    assert longer.high - longer.low < now.high - now.low


@given(FEW)
def test_the_exact_interval_is_never_shorter_than_its_level(numbers: tuple[int, int]) -> None:
    """At each bound the chance to see as much or more (or less) is the tail that was asked for."""
    passed, decided = numbers
    exact = clopper_pearson(passed, decided, confidence=0.9)
    assert exact is not None
    if passed:
        assert stats.binom.sf(passed - 1, decided, exact.low) == pytest.approx(0.05, abs=1e-6)
    if passed < decided:
        assert stats.binom.cdf(passed, decided, exact.high) == pytest.approx(0.05, abs=1e-6)
        assert clopper_pearson_upper(passed, decided) == pytest.approx(exact.high)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_the_interval_of_a_mean_is_students(values: list[float]) -> None:
    found = mean(values)
    error = stats.sem(values)
    if error > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=found.value, scale=error)
        assert found.interval == pytest.approx((low, high), rel=1e-6, abs=1e-6)
    assert found.interval.low <= found.value <= found.interval.high


def test_an_interval_is_clamped_on_both_sides() -> None:
    assert Interval(-0.5, 1.5).within(0, 1) == (0, 1)
    assert Interval(-0.5, -0.2).within(0, 1) == (0, 0)
    assert Interval(0.1, 0.2).within(0, 1) == (0.1, 0.2)
