"""Paired differences of scores, costs and latencies of two versions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from quality.extra import needs_extra
from quality.intervals import Estimate, Interval, mean

with needs_extra():
    import numpy as np
    from scipy.stats import bootstrap

RESAMPLES = 10_000
_BATCH_CELLS = 400_000
"""Resampled values that are in memory at once."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the upper end of one version's values."""

    mean: float
    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean of second − first with its t interval and its percentile bootstrap interval.

    `bootstrap` is None if all items are of one group, which cannot be resampled.
    """

    n: int
    difference: Estimate
    bootstrap: Interval | None
    a: Spread
    b: Spread


def generator(comparison_id: str) -> np.random.Generator:
    """Return the random numbers of a comparison: the same for the same id, whoever asks and when."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(sha256(comparison_id.encode()).digest())))


def paired_difference(
    a: Sequence[float],
    b: Sequence[float],
    rng: np.random.Generator,
    groups: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
) -> PairedDifference:
    """Return how the values changed from `a` to `b`, item by item.

    Args:
        a: values of the first version, at least two.
        b: values of the second version on the same items.
        rng: the source of the resampling.
        groups: the trace of each item. Items of one trace are resampled together, because they are not independent.
        resamples: how often to resample.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    changes = second - first
    return PairedDifference(
        n=len(changes),
        difference=mean(changes.tolist()),
        bootstrap=_percentiles(changes, rng, groups, resamples),
        a=_spread(first),
        b=_spread(second),
    )


def _spread(values: np.ndarray) -> Spread:
    median, p95 = np.quantile(values, (0.5, 0.95))
    return Spread(float(values.mean()), float(median), float(p95))


def _percentiles(
    changes: np.ndarray, rng: np.random.Generator, groups: Sequence[Hashable] | None, resamples: int
) -> Interval | None:
    """Resample whole groups: the mean of a resample is the sum of its groups over their number of items."""
    sums, sizes = (changes, np.ones(len(changes))) if groups is None else _by_group(changes, groups)
    if len(sums) < 2:
        return None

    def mean_of(of_sums: np.ndarray, of_sizes: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(of_sums.sum(axis=axis) / of_sizes.sum(axis=axis))

    found = bootstrap(
        (sums, sizes),
        mean_of,
        paired=True,
        n_resamples=resamples,
        batch=max(1, _BATCH_CELLS // len(sums)),
        method="percentile",
        rng=rng,
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


def _by_group(changes: np.ndarray, groups: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    numbers: dict[Hashable, int] = {}
    of_items = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    return np.bincount(of_items, weights=changes), np.bincount(of_items).astype(np.float64)
