"""The shift test holds its false-alarm rate however often one looks, and sees 10 points within the stated results."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom, kstest

from quality.shift import ALARM, BASELINE, BLOCK, Counts, Shift, ShiftDetector, _score, hypergeometric_tails

WINDOWS = 10_000


def blocks(
    rng: np.random.Generator, rate: float, count: int, *, least: int = BLOCK, most: int = 120
) -> list[tuple[Counts, float]]:
    sizes = rng.integers(least, most, count)
    passes = rng.binomial(sizes, rate)
    return [
        (Counts(int(passed), int(decided)), draw)
        for passed, decided, draw in zip(passes, sizes, rng.random(count), strict=True)
    ]


def follow(stream: list[tuple[Counts, float]], detector: ShiftDetector) -> tuple[ShiftDetector, list[Shift]]:
    shifts = []
    for block, draw in stream:
        detector, shift = detector.after(block, draw)
        if shift is not None:
            shifts.append(shift)
    return detector, shifts


@pytest.mark.parametrize("rate", [0.03, 0.5, 0.98])
def test_ten_thousand_windows_without_a_shift_give_no_false_alarm(rate: float) -> None:
    """The stated rate is one in 100 000 windows on average, so 30 000 windows of three streams expect 0.3."""
    _, shifts = follow(blocks(np.random.default_rng(7), rate, WINDOWS), ShiftDetector())
    assert shifts == []


def test_false_alarms_of_a_thousand_streams_stay_below_the_stated_rate() -> None:
    """The same sums by numpy, with a lower limit that alarms do reach: 1 000 streams of 10 000 windows each."""
    rng = np.random.default_rng(11)
    streams, limit = 1_000, 5_000.0
    effects = np.array([0.1, 0.2, 0.4, 0.8, -0.1, -0.2, -0.4, -0.8])[:, None]
    statistic = np.zeros((8, streams))
    alarms = 0
    for window in range(WINDOWS):
        decided = 60.0
        baseline = BASELINE + decided * window
        size = np.sqrt(decided * baseline / (decided + baseline))
        scores = rng.standard_normal(streams)
        statistic = (1 + statistic) * np.exp(effects * size * scores - (effects * size) ** 2 / 2)
        alarm = statistic.mean(axis=0) >= limit
        alarms += int(alarm.sum())
        statistic[:, alarm] = 0.0
    stated = streams * WINDOWS / limit
    assert 0 < alarms <= stated


def test_scores_of_windows_without_a_shift_are_standard_normal_and_independent() -> None:
    """This is what the false-alarm rate rests on, whatever the pass rate and however small the baseline is."""
    rng = np.random.default_rng(3)
    for rate, least in ((0.9, 1), (0.5, BLOCK)):
        baseline, scores = Counts(90, BASELINE), []
        # The baseline is dealt out anew, so that it has the rate of the windows.
        baseline = Counts(int(rng.binomial(BASELINE, rate)), BASELINE)
        for block, draw in blocks(rng, rate, 4_000, least=least):
            scores.append(_score(baseline, block, draw))
            baseline = baseline.plus(block)
        assert kstest(scores, "norm").pvalue > 0.001
        assert abs(np.corrcoef(scores[:-1], scores[1:])[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("before", "after", "direction", "expected"),
    [(0.9, 0.8, "down", 500), (0.7, 0.6, "down", 900), (0.5, 0.6, "up", 1_000)],
)
def test_a_shift_of_ten_points_is_signalled_within_the_expected_results(
    before: float, after: float, direction: str, expected: int
) -> None:
    """These are the numbers of docs/windows.md, after a baseline of 5 000 results."""
    taken = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        detector, none = follow(blocks(rng, before, 70), ShiftDetector())
        assert none == []
        results = 0
        shift = None
        for block, draw in blocks(rng, after, 60):
            detector, shift = detector.after(block, draw)
            results += block.decided
            if shift is not None:
                break
        assert shift is not None
        assert shift.direction == direction
        assert shift.after.rate is not None
        assert shift.before.rate is not None
        assert abs(shift.before.rate - before) < 0.03
        taken.append(results)
    assert np.mean(taken) <= expected


def test_after_a_shift_the_new_rate_is_the_baseline() -> None:
    rng = np.random.default_rng(5)
    detector, shifts = follow(blocks(rng, 0.9, 100) + blocks(rng, 0.6, 300), ShiftDetector())
    assert [shift.direction for shift in shifts] == ["down"]
    assert detector.baseline.rate == pytest.approx(0.6, abs=0.03)


def test_a_baseline_below_the_minimum_is_not_compared() -> None:
    detector, shift = ShiftDetector().after(Counts(BASELINE - 1, BASELINE - 1), 0.5)
    assert (detector.blocks, shift) == (0, None)
    detector, shift = detector.after(Counts(0, 0), 0.5)
    assert (detector.blocks, shift) == (0, None)
    detector, shift = detector.after(Counts(0, 1), 0.5)
    assert (detector.blocks, shift) == (0, None)
    detector, shift = detector.after(Counts(0, 400), 0.5)
    assert shift is not None
    assert shift.direction == "down"
    assert shift.statistic >= ALARM


def test_more_passes_than_results_are_refused() -> None:
    with pytest.raises(ValueError, match="3 passes of 2 results"):
        ShiftDetector().after(Counts(3, 2), 0.5)


def test_the_tails_are_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        base, size = int(rng.integers(1, 5_000)), int(rng.integers(1, 500))
        baseline, block = Counts(int(rng.integers(0, base + 1)), base), Counts(int(rng.integers(0, size + 1)), size)
        reference = hypergeom(base + size, baseline.passed + block.passed, size)
        below, equal, above = hypergeometric_tails(baseline, block)
        assert equal == pytest.approx(reference.pmf(block.passed), rel=1e-6, abs=1e-300)
        assert below == pytest.approx(reference.cdf(block.passed - 1), rel=1e-6, abs=1e-12)
        assert above == pytest.approx(reference.sf(block.passed), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("passed", [0, 5, 10])
def test_windows_of_one_kind_only_are_no_shift(passed: int) -> None:
    """All passes, all fails: the p value is the draw itself."""
    rate = passed / 10
    _, shifts = follow([(Counts(int(60 * rate), 60), 0.5)] * 500, ShiftDetector())
    assert shifts == []
