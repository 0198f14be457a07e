"""The figures of a report, made of cells. Versions are never averaged together; skips and N/A are in no rate.

All comparisons of a report form one family: the change of each version against the period before, and each slice
against the rest of its version. Holm's method adjusts their p values for their number, so a report without any real
difference shows one in about one report of twenty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Any

from evaluators.verdict import VERDICT_NAMES
from quality.comparison import holm
from quality.independent import Difference, difference
from quality.intervals import wilson
from reports.evaluation_reports.cells import (
    BINS,
    BUCKETS,
    DIMENSIONS,
    MAX_VERSIONS,
    OTHER,
    Cell,
    Latency,
    ReportPeriod,
    Shape,
    score_bounds,
)

SIGNIFICANT = 0.05
LEAST_DECIDED = 30
"""Decided results that a slice, and the rest that it is compared with, must have."""

Figures = dict[str, Any]
"""JSON that is stored with a run, shown on pages, and given to the model that writes the text."""


def make_figures(cells: Sequence[Cell], latencies: Iterable[Latency], shape: Shape, period: ReportPeriod) -> Figures:
    """Return the figures of a report."""
    by_version: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_version[cell.fingerprint].append(cell)
    latency = {each.fingerprint: each for each in latencies}
    current = [each for each in by_version.values() if any(cell.current for cell in each)]
    current.sort(key=lambda each: max(cell.newest for cell in each), reverse=True)
    versions = [_version(each, latency.get(each[0].fingerprint)) for each in current[:MAX_VERSIONS]]
    _adjust(versions)
    now, before = _of("time", cells, current=True), _of("time", cells, current=False)
    return {
        "period": {"start": period.start.isoformat(), "end": period.end.isoformat()},
        "previous_period": {"start": period.before.start.isoformat(), "end": period.before.end.isoformat()},
        "bucket_seconds": period.bucket.total_seconds(),
        "counts": _counts(now),
        "previous_counts": _counts(before),
        "skipped": _skips(now),
        "cost": _cost(now),
        "versions": versions,
        "versions_left_out": max(0, len(current) - MAX_VERSIONS),
        "score_bounds": score_bounds(shape),
    }


def _version(cells: Sequence[Cell], latency: Latency | None) -> Figures:
    now, before = _of("time", cells, current=True), _of("time", cells, current=False)
    return {
        "fingerprint": cells[0].fingerprint,
        "version": max(cell.version for cell in cells),
        "newest": max(cell.newest for cell in now).isoformat(),
        "counts": _counts(now),
        "rate": _rate(now),
        "previous": {"counts": _counts(before), "rate": _rate(before)} if before else None,
        "change": _difference(_passes(now), _passes(before)),
        "scores": _scores(_of("score", cells, current=True)),
        "series": _series(now),
        "slices": _slices(cells, *_passes(now)),
        "cost": _cost(now),
        "latency": None if latency is None else {"p50_s": latency.p50_s, "p95_s": latency.p95_s},
    }


def _of(view: str, cells: Iterable[Cell], *, current: bool) -> list[Cell]:
    return [cell for cell in cells if cell.view == view and cell.current is current]


def _counts(cells: Iterable[Cell]) -> dict[str, int]:
    found: dict[str, int] = dict.fromkeys(map(str, VERDICT_NAMES), 0)
    for cell in cells:
        found[cell.verdict] += cell.results
    return {"results": sum(found.values()), **found}


def _passes(cells: Iterable[Cell]) -> tuple[int, int]:
    """Return the passes and the decided results."""
    counts = _counts(cells)
    return counts["pass"], counts["pass"] + counts["fail"]


def _rate(cells: Iterable[Cell]) -> Figures | None:
    return _rate_of(*_passes(cells))


def _rate_of(passed: int, decided: int) -> Figures | None:
    interval = wilson(passed, decided)
    if interval is None:
        return None
    return {"value": passed / decided, "low": interval.low, "high": interval.high, "decided": decided}


def _difference(now: tuple[int, int], then: tuple[int, int]) -> Figures | None:
    found: Difference | None = difference(*now, *then)
    if found is None:
        return None
    low, high = found.estimate.interval
    return {"value": found.estimate.value, "low": low, "high": high, "p": found.p}


def _skips(cells: Iterable[Cell]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for cell in cells:
        if cell.verdict == "skipped":
            found[cell.skip_reason or "unknown"] += cell.results
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _cost(cells: Iterable[Cell]) -> Figures:
    """Return what the judges cost; `usd` is None if no run had a price."""
    taken = list(cells)
    priced = sum(cell.priced for cell in taken)
    return {
        "usd": sum(cell.cost_usd for cell in taken) if priced else None,
        "priced_results": priced,
        "input_tokens": sum(cell.input_tokens for cell in taken),
        "output_tokens": sum(cell.output_tokens for cell in taken),
    }


def _scores(cells: Iterable[Cell]) -> Figures | None:
    scored = [cell for cell in cells if int(cell.key) >= 0]
    count = sum(cell.results for cell in scored)
    if not count:
        return None
    bins = [0] * BINS
    for cell in scored:
        bins[int(cell.key)] += cell.results
    mean = sum(cell.score_sum for cell in scored) / count
    spread = sqrt(max(0.0, sum(cell.score_squares for cell in scored) / count - mean**2))
    return {"count": count, "mean": mean, "deviation": spread, "bins": bins}


def _series(cells: Iterable[Cell]) -> list[Figures | None]:
    """Return the rate of each bucket; None where nothing was decided."""
    by_bucket: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_bucket[int(cell.key)].append(cell)
    return [_rate(by_bucket[bucket]) if bucket in by_bucket else None for bucket in range(BUCKETS)]


def _slices(cells: Sequence[Cell], passed: int, decided: int) -> list[Figures]:
    """Return the slices of each dimension that has several values, against the rest of the version."""
    found: list[Figures] = []
    for dimension in DIMENSIONS:
        groups: dict[str, list[Cell]] = defaultdict(list)
        for cell in _of(dimension, cells, current=True):
            groups[cell.key].append(cell)
        if len(groups) < 2:
            continue
        for value, own in groups.items():
            own_passed, own_decided = _passes(own)
            rest = (passed - own_passed, decided - own_decided)
            if value == OTHER or own_decided < LEAST_DECIDED or rest[1] < LEAST_DECIDED:
                continue
            found.append(
                {
                    "dimension": dimension,
                    "value": value,
                    "failed": own_decided - own_passed,
                    "rate": _rate_of(own_passed, own_decided),
                    "against_rest": _difference((own_passed, own_decided), rest),
                }
            )
    return found


def _adjust(versions: Sequence[Figures]) -> None:
    """Adjust the p values of all comparisons together, and say which stand out."""
    family: list[Figures] = []
    for version in versions:
        if version["change"] is not None:
            family.append(version["change"])
        family.extend(each["against_rest"] for each in version["slices"])
    for comparison, adjusted in zip(family, holm([each["p"] for each in family]), strict=True):
        comparison["p_adjusted"] = adjusted
        comparison["stands_out"] = adjusted < SIGNIFICANT


def standing_out(version: Mapping[str, Any]) -> list[Figures]:
    """Return the slices of a version that differ from its rest by more than chance, the worst first."""
    found = [each for each in version["slices"] if each["against_rest"]["stands_out"]]
    return sorted(found, key=lambda each: each["against_rest"]["value"])
