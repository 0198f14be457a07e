"""The windows as gauges, summed over all evaluations, because a label must have few values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from evaluators.verdict import VERDICT_NAMES
from reports.metrics import ReportsMetrics
from reports.windows.state import PartitionState

NAMES: Mapping[int, str] = {60: "minute", 3_600: "hour", 86_400: "day"}


def show(metrics: ReportsMetrics, states: Iterable[PartitionState], now_s: int) -> None:
    """Set the gauges of the windows that are being filled now, and of how many are kept."""
    kept = 0
    totals: Counter[tuple[str, str]] = Counter()
    for state in states:
        for _, (size_s, start_s), tally in state.windows():
            kept += 1
            if start_s <= now_s < start_s + size_s:
                counts = (tally.passed, tally.failed, tally.scored, tally.not_applicable, sum(tally.skipped.values()))
                for outcome, count in zip(VERDICT_NAMES, counts, strict=True):
                    totals[NAMES[size_s], outcome] += count
    metrics.set("gavel_windows_kept", kept)
    for name in NAMES.values():
        for outcome in VERDICT_NAMES:
            metrics.set("gavel_windows_current", totals[name, outcome], window=name, outcome=outcome)
