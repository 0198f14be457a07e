"""Ranks of values in which ties share their mean rank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def mean_ranks(values: Sequence[float]) -> dict[float, float]:
    """Return the rank of each distinct value, from 1; equal values share the mean of their ranks."""
    ranks: dict[float, float] = {}
    before = 0
    for value, count in sorted(Counter(values).items()):
        ranks[value] = before + (count + 1) / 2
        before += count
    return ranks
