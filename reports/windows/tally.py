"""The figures of one window."""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from reports.windows.entry import Entry, WindowVersion
from storage.clickhouse.windows import LATENCY_BOUNDS_S, MOST_CATEGORIES, SCORE_BINS

_MOST_REASONS = 50
_OTHER = "other"


class WindowTally(msgspec.Struct, array_like=True):
    """Counts and sums of the results of one version in one window.

    Attributes:
        skipped: by reason.
        scores: scores per bin, `SCORE_BINS` equal ones from the version's minimum to its maximum; empty without bounds.
        categories: by key.
        priced: results with a cost; `timed`: those with a latency.
        latencies: judge calls per bin of `LATENCY_BOUNDS_S`.
    """

    passed: int = 0
    failed: int = 0
    scored: int = 0
    not_applicable: int = 0
    skipped: dict[str, int] = {}
    score_count: int = 0
    score_sum: float = 0.0
    scores: list[int] = []
    categories: dict[str, int] = {}
    input_tokens: int = 0
    output_tokens: int = 0
    priced: int = 0
    cost_usd: float = 0.0
    timed: int = 0
    latency_sum_s: float = 0.0
    latencies: list[int] = []

    @property
    def runs(self) -> int:
        """All results, skips included."""
        return self.passed + self.failed + self.scored + self.not_applicable + sum(self.skipped.values())

    def add(self, entry: Entry, version: WindowVersion) -> None:
        """Count one result."""
        if entry.verdict == "skipped":
            _count(self.skipped, entry.reason, _MOST_REASONS)
        elif entry.verdict == "pass":
            self.passed += 1
        elif entry.verdict == "fail":
            self.failed += 1
        elif entry.verdict == "scored":
            self.scored += 1
        else:
            self.not_applicable += 1
        if entry.score is not None:
            self._add_score(entry.score, version)
        for category in entry.categories:
            _count(self.categories, category, MOST_CATEGORIES)
        self.input_tokens += entry.input_tokens
        self.output_tokens += entry.output_tokens
        if entry.cost_usd is not None:
            self.priced += 1
            self.cost_usd += entry.cost_usd
        if entry.latency_s is not None:
            self.timed += 1
            self.latency_sum_s += entry.latency_s
            self.latencies = self.latencies or [0] * (len(LATENCY_BOUNDS_S) + 1)
            self.latencies[bisect_right(LATENCY_BOUNDS_S, entry.latency_s)] += 1

    def _add_score(self, score: float, version: WindowVersion) -> None:
        self.score_count += 1
        self.score_sum += score
        low, high = version.minimum, version.maximum
        if low is not None and high is not None and low < high:
            self.scores = self.scores or [0] * SCORE_BINS
            place = int((score - low) / (high - low) * SCORE_BINS)
            self.scores[min(max(place, 0), SCORE_BINS - 1)] += 1


def _count(counts: dict[str, int], key: str, most: int) -> None:
    """Count `key`; once there are `most` keys, new ones are counted together."""
    if key not in counts and len(counts) >= most:
        key = _OTHER
    counts[key] = counts.get(key, 0) + 1
