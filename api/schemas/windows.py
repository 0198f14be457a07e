"""Shapes of an evaluation's windows."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from api.schemas.parts import ResponseBody


class WindowShown(ResponseBody):
    """The distinct results of one version in one tumbling window. Skips and N/A are in no rate."""

    start: datetime
    end: datetime
    """Excluded."""
    evaluation_version: int
    fingerprint: str
    runs: int
    passed: int
    failed: int
    scored: int
    not_applicable: int
    skipped: dict[str, int]
    """Skips by reason."""
    pass_rate: float | None
    pass_rate_low: float | None
    pass_rate_high: float | None
    score_count: int
    score_sum: float
    score_histogram: list[int]
    """Scores in 20 equal bins from the version's minimum to its maximum; empty where it has none."""
    categories: dict[str, int]
    """Counts of the 100 most frequent keys."""
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    latency_count: int
    latency_sum_s: float
    latency_histogram: list[int]
    """Judge calls below 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30 and 60 seconds, and the others; empty without calls."""


class ShiftShown(ResponseBody):
    """A shift of the pass rate that the live windows signalled."""

    id: str
    direction: Literal["up", "down"]
    window_start: datetime
    """Start of the window that completed the evidence."""
    evaluation_version: int
    fingerprint: str
    pass_rate_before: float | None
    decided_before: int
    pass_rate_after: float | None
    decided_after: int
    statistic: float


class Windows(ResponseBody):
    """A page of windows, the newest first, and the shifts in the same time."""

    count: int
    next: str | None
    previous: str | None
    shifts: list[ShiftShown]
    results: list[WindowShown]
