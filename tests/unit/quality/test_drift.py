from __future__ import annotations

from math import isfinite, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from quality.drift import ALARM, Detector, DriftAnswer, null_rate, run_of, who_moved

NULL = st.floats(0.02, 0.6)


def plain(null: float, anchors: int, flips: list[int]) -> list[float]:
    """The definition, without logarithms."""
    m = [0.0] * 4
    out = []
    for x in flips:
        for at, step in enumerate((0.05, 0.10, 0.20, 0.40)):
            q = min(null + step, 0.95)
            m[at] = (1 + m[at]) * (q / null) ** x * ((1 - q) / (1 - null)) ** (anchors - x)
        out.append(sum(m) / 4)
    return out


@given(NULL, st.lists(st.integers(0, 20), min_size=1, max_size=10))
def test_logarithms_give_what_the_definition_gives(null: float, flips: list[int]) -> None:
    found = [state.statistic for state in run_of(null, 20, flips)]
    assert found == pytest.approx(plain(null, 20, flips), rel=1e-6, abs=1e-300)


def test_a_judge_that_flips_always_does_not_overflow() -> None:
    state = run_of(0.02, 200, [200] * 1000)[-1]
    assert isfinite(state.statistic)
    assert state.log_statistic > 200_000
    assert state.state == "alarm"


def test_a_judge_that_never_flips_comes_down_and_stays_finite() -> None:
    states = run_of(0.02, 200, [0] * 5000)
    assert states[-1].state == "steady"
    assert all(isfinite(each) for each in states[-1].evidence)


def test_the_state_before_the_first_run() -> None:
    assert Detector(0.05).statistic == 0
    assert Detector(0.05).log_statistic == -float("inf")
    assert Detector(0.05).state == "steady"


@given(NULL, st.lists(st.integers(0, 20), max_size=8), st.integers(0, 19))
def test_more_flips_are_more_evidence(null: float, flips: list[int], last: int) -> None:
    state = Detector(null)
    for each in flips:
        state = state.after(each, 20)
    assert state.after(last + 1, 20).log_statistic > state.after(last, 20).log_statistic


@given(NULL, st.lists(st.integers(0, 20), min_size=1, max_size=8))
def test_a_state_that_was_stored_goes_on_where_it_was(null: float, flips: list[int]) -> None:
    *before, last = flips
    stored = run_of(null, 20, before)[-1] if before else Detector(null)
    again = Detector(stored.null_rate, stored.evidence, stored.runs)
    assert again.after(last, 20) == run_of(null, 20, flips)[-1]


def test_a_steady_judge_raises_no_alarm_and_a_drifting_one_soon_does() -> None:
    rng = np.random.Generator(np.random.PCG64(19))
    steady = [run_of(0.05, 30, rng.binomial(30, 0.05, size=300).tolist()) for _ in range(40)]
    assert sum(any(state.statistic >= ALARM for state in stream) for stream in steady) <= 4  # 12 by the bound
    delays = []
    for _ in range(40):
        stream = run_of(0.05, 30, rng.binomial(30, 0.20, size=100).tolist())
        delays.append(next(at for at, state in enumerate(stream, 1) if state.statistic >= ALARM))
    assert np.median(delays) <= 3


@pytest.mark.parametrize("null", [0.0, -0.1, 0.95, 1.0, float("nan")])
def test_a_null_rate_that_leaves_no_room_is_refused(null: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and below"):
        Detector(null)


@pytest.mark.parametrize("flips", [-1, 31])
def test_flips_that_cannot_be_are_refused(flips: int) -> None:
    with pytest.raises(ValueError, match="flips of 30 anchors cannot be"):
        Detector(0.05).after(flips, 30)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_null_rate_is_the_one_sided_exact_bound(numbers: tuple[int, int]) -> None:
    flips, observations = numbers
    bound = proportion_confint(flips, observations, alpha=0.1, method="beta")[1]
    assert null_rate(flips, observations) == pytest.approx(max(0.02, bound))


@pytest.mark.parametrize(
    ("shifted", "statistic", "answer"),
    [
        (True, 9.9, "product_moved"),
        (True, 10, "undecided"),
        (True, 999, "undecided"),
        (True, None, "undecided"),
        (True, 1000, "judge_moved"),
        (False, 1000, "judge_moved"),
        (False, 999, "suspect"),
        (False, 100, "suspect"),
        (False, 99, "steady"),
        (False, None, "steady"),
    ],
)
def test_who_moved(shifted: bool, statistic: float | None, answer: DriftAnswer) -> None:
    assert who_moved(shifted, statistic) == answer


def test_the_likelihood_ratio_of_one_run_is_that_of_two_binomials() -> None:
    found = Detector(0.05).after(3, 30)
    assert found.log_statistic == pytest.approx(log(plain(0.05, 30, [3])[0]))
