"""How often intervals hold the truth, and how long statistics take: `python -m benchmarks.trust [--json]`.

Each row is an interval at the fewest labels for which it is offered. A repetition draws a truth from the range of the
row, a sample from that truth, and the interval from the sample; coverage is the share of intervals that hold the truth
(target: at least 93 %). "Lowest" is the lowest coverage over the five fifths of the range of truths. It shows where the
interval is weakest, and it varies more than the mean, because it stands on a fifth of the repetitions.

A rate near 1 is hard for any interval of few items: the coverage of Wilson's swings with the truth and falls to 84 %
where the expected number of failures is 0.18, for any number of items (Brown, Cai and DasGupta, Statistical Science
2001). The rows for comparison have no target: they show large-sample intervals of the published variances, and
intervals with fewer labels than the minimum.

The second table is the drift test: 30 anchors, null rate 0.05. It counts false alarms of a judge that flips at the null
rate, and the runs until the alarm for a judge that flips more.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.table import markdown
from benchmarks.trust_coverage import ROWS
from benchmarks.trust_trials import Row
from quality.drift import ALARM, Detector
from quality.paired import RESAMPLES, generator, paired_difference

TARGET = 0.93
PARTS = 5
ITEMS = 2_000
ANCHORS = 30
NULL_RATE = 0.05
STREAMS = 200
STEADY_RUNS = 500


@dataclass(frozen=True, slots=True)
class Coverage:
    """The outcome of one row. `refused` is the share of samples without an interval; they enter no other figure."""

    name: str
    labels: str
    truths: str
    offered: bool
    coverage: float
    lowest: float
    width: float
    refused: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Coverages, drift (false alarms, and the median run of the alarm by flip rate), and times of the statistics."""

    repetitions: int
    rows: list[Coverage]
    false_alarms: int
    delays: dict[str, float]
    bootstrap_ms: float
    drift_us: dict[str, float]


def cover(row: Row, repetitions: int, seed: int) -> Coverage:
    """Return how often the interval of a row holds the truth."""
    rng = np.random.Generator(np.random.PCG64(seed))
    held, seen, widths = np.zeros(PARTS), np.zeros(PARTS), 0.0
    for _ in range(repetitions):
        trial = row.draw(rng)
        if trial.interval is None:
            continue
        part = int(trial.place * PARTS)
        seen[part] += 1
        held[part] += trial.interval.low - 1e-12 <= trial.truth <= trial.interval.high + 1e-12
        widths += trial.interval.high - trial.interval.low
    kept = float(seen.sum())
    return Coverage(
        name=row.name,
        labels=row.labels,
        truths=row.truths,
        offered=row.offered,
        coverage=float(held.sum()) / kept,
        lowest=float((held / seen).min()),
        width=widths / kept,
        refused=1 - kept / repetitions,
    )


def alarm_after(rng: np.random.Generator, flip_rate: float, runs: int) -> int | None:
    """Return the run of the first alarm, or None if there is none in so many runs."""
    state = Detector(NULL_RATE)
    for run, flips in enumerate(rng.binomial(ANCHORS, flip_rate, size=runs), 1):
        state = state.after(int(flips), ANCHORS)
        if state.statistic >= ALARM:
            return run
    return None


def drift(streams: int) -> tuple[int, dict[str, float]]:
    """Return the streams of a steady judge with an alarm, and the median delay for judges that drifted."""
    rng = np.random.Generator(np.random.PCG64(0))
    false_alarms = sum(alarm_after(rng, NULL_RATE, STEADY_RUNS) is not None for _ in range(streams))
    delays = {
        f"{rate}": float(np.median([alarm_after(rng, rate, 1_000) or 1_000 for _ in range(streams)]))
        for rate in (0.10, 0.15, 0.20, 0.30)
    }
    return false_alarms, delays


def best_of(rounds: int, work: Callable[[], object]) -> float:
    """Return the seconds of the fastest round."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def bootstrap_s() -> float:
    """Return the seconds of a comparison's bootstrap of 2 000 items."""
    rng = np.random.Generator(np.random.PCG64(1))
    a, b = rng.normal(size=ITEMS).tolist(), rng.normal(size=ITEMS).tolist()
    return best_of(3, lambda: paired_difference(a, b, generator("comparison")))


def drift_s(runs: int) -> float:
    """Return the seconds of one more run after `runs` of them."""
    state = Detector(NULL_RATE)
    for _ in range(runs):
        state = state.after(1, ANCHORS)

    def hundred() -> None:
        for _ in range(100):
            _ = state.after(1, ANCHORS).statistic

    return best_of(5, hundred) / 100


def measure(repetitions: int) -> Figures:
    """Measure everything; about a minute for 2 000 repetitions."""
    false_alarms, delays = drift(STREAMS)
    return Figures(
        repetitions=repetitions,
        rows=[cover(row, repetitions, seed) for seed, row in enumerate(ROWS)],
        false_alarms=false_alarms,
        delays=delays,
        bootstrap_ms=bootstrap_s() * 1e3,
        drift_us={f"{runs}": drift_s(runs) * 1e6 for runs in (1, 100, 10_000)},
    )


def main() -> None:
    """Print the tables, or with `--json` the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--repetitions", type=int, default=4_000, help="samples of each row")
    given = parser.parse_args()
    figures = measure(given.repetitions)
    if given.json:
        print(json.dumps(asdict(figures)))
        return
    print(f"Intervals of 95 % at their minimum counts, {figures.repetitions} samples each.\n")
    header = ("interval", "labels", "truths", "coverage", "lowest", "width", "refused", "target")
    print(markdown(header, [_row(each) for each in figures.rows]))
    expected = STREAMS * STEADY_RUNS / ALARM
    drifts = [
        (f"alarms of {STREAMS} steady judges in {STEADY_RUNS} runs", f"{figures.false_alarms}", f"≤ {expected:.0f}")
    ]
    drifts += [(f"runs until the alarm, flip rate {rate}", f"{runs:.0f}", "") for rate, runs in figures.delays.items()]
    print("\n" + markdown(("drift", "median", "bound"), drifts))
    times = [(f"bootstrap of {ITEMS} items, {RESAMPLES} resamples", f"{figures.bootstrap_ms:.0f} ms", "< 1 000 ms")]
    times += [(f"drift: one run after {runs}", f"{us:.1f} µs", "the same") for runs, us in figures.drift_us.items()]
    print("\n" + markdown(("time", "measured", "target"), times))


def _row(found: Coverage) -> tuple[str, ...]:
    return (
        found.name,
        found.labels,
        found.truths,
        f"{found.coverage:.1%}",
        f"{found.lowest:.1%}",
        f"{found.width:.2f}",
        f"{found.refused:.1%}",
        f"≥ {TARGET:.0%}" if found.offered else "for comparison",
    )


if __name__ == "__main__":
    main()
