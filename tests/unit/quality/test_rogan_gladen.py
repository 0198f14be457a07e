from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.refusals import Refusal
from quality.rogan_gladen import Corrected, Golden, rogan_gladen, transportable

AGREED = st.integers(10, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
GOLDEN = st.builds(lambda passes, fails: Golden(*passes, *fails), AGREED, AGREED)
JUDGED = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@given(JUDGED, GOLDEN)
def test_it_is_a_rate_within_0_and_1_or_a_reason(judged: tuple[int, int], golden: Golden) -> None:
    found = rogan_gladen(*judged, golden)
    if isinstance(found, Refusal):
        assert found.reason in {"judge_no_better_than_chance", "inconsistent"}
        assert (found.figures["youden_low"] <= 0) == (found.reason == "judge_no_better_than_chance")
    else:
        assert found.youden_low > 0
        assert 0 <= found.rate.interval.low <= found.rate.interval.high <= 1
        assert found.rate.interval.high > found.rate.interval.low
        assert 0 <= found.rate.value <= 1


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), GOLDEN)
def test_counting_fails_mirrors_the_rate(judged: tuple[int, int], golden: Golden) -> None:
    mirrored = Golden(golden.human_fail, golden.human_fail_agreed, golden.human_pass, golden.human_pass_agreed)
    ours, theirs = rogan_gladen(*judged, golden), rogan_gladen(judged[0], judged[0] - judged[1], mirrored)
    if isinstance(ours, Refusal) or isinstance(theirs, Refusal):
        assert isinstance(ours, Refusal)
        assert isinstance(theirs, Refusal)
        assert ours.reason == theirs.reason
    else:
        assert ours.rate.value == pytest.approx(1 - theirs.rate.value)
        assert ours.rate.interval == pytest.approx((1 - theirs.rate.interval.high, 1 - theirs.rate.interval.low))


def test_a_faultless_judge_is_hardly_corrected() -> None:
    found = rogan_gladen(1000, 700, Golden(5000, 5000, 5000, 5000))
    assert isinstance(found, Corrected)
    assert found.rate.value == pytest.approx(0.7)
    assert found.rate.interval == pytest.approx((0.671, 0.728), abs=2e-3)  # little wider than Wilson's


@pytest.mark.parametrize(
    ("golden", "missing"),
    [
        (Golden(9, 9, 40, 38), {"human_pass": 1}),
        (Golden(40, 38, 8, 7), {"human_fail": 2}),
        (Golden(0, 0, 0, 0), {"human_pass": 10, "human_fail": 10}),
    ],
)
def test_too_few_labels_are_counted(golden: Golden, missing: dict[str, int]) -> None:
    assert rogan_gladen(1000, 500, golden) == Refusal("too_few", missing)


def test_a_window_without_results_has_no_rate() -> None:
    assert rogan_gladen(0, 0, Golden(20, 19, 20, 18)) == Refusal("too_few", {"judged": 1})


def test_labels_of_the_window_can_contradict_the_golden_set() -> None:
    golden = Golden(200, 180, 200, 140)
    kept = rogan_gladen(1000, 400, golden, window=Golden(40, 35, 30, 20))
    assert isinstance(kept, Corrected)
    for window in (Golden(40, 20, 30, 20), Golden(40, 35, 30, 8)):
        found = rogan_gladen(1000, 400, golden, window=window)
        assert isinstance(found, Refusal)
        assert found.reason == "not_transportable"
        assert found.figures["youden"] == pytest.approx(0.594059, abs=1e-6)


def test_a_window_without_labels_contradicts_nothing() -> None:
    assert transportable(Golden(200, 180, 200, 140), Golden(0, 0, 0, 0))
