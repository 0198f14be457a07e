"""Cells and a content to make reports of, without ClickHouse."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from reports.evaluation_reports.cells import BINS, BUCKETS, Cell, Latency, ReportPeriod, Shape
from reports.evaluation_reports.figures import make_figures
from reports.evaluation_reports.plain import plain_sections, plain_title

PERIOD = ReportPeriod(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 27, tzinfo=UTC))


def cell(view: str, key: object, verdict: str, results: int, **fields: Any) -> Cell:
    defaults: dict[str, Any] = {
        "fingerprint": "aaaa1111", "version": 3, "current": True, "skip_reason": "", "score_sum": 0.0,
        "score_squares": 0.0, "cost_usd": 0.001 * results, "priced": results, "input_tokens": 100 * results,
        "output_tokens": 20 * results, "newest": PERIOD.start + timedelta(days=1),
    }  # fmt: skip
    return Cell(view=view, key=str(key), verdict=verdict, results=results, **{**defaults, **fields})


def both_views(verdict: str, results: int, bucket: int = 0, **fields: Any) -> list[Cell]:
    """Return the cells over time and by score of results without a score and without slices."""
    return [cell("time", bucket, verdict, results, **fields), cell("score", -1, verdict, results, **fields)]


def rich_cells() -> list[Cell]:
    """Return two versions over a week, one slice that is worse, scores, skips and N/A."""
    chance = random.Random(7)
    cells: list[Cell] = []
    for bucket in range(BUCKETS):
        new = bucket >= 30
        own: dict[str, Any] = {"fingerprint": "bbbb2222" if new else "aaaa1111", "version": 4 if new else 3}
        own["newest"] = PERIOD.start + PERIOD.bucket * (bucket + 1)
        if bucket in (11, 12):
            continue
        decided = chance.randint(60, 140)
        passed = sum(chance.random() < (0.71 if new else 0.83) for _ in range(decided))
        cells += both_views("pass", passed, bucket, **own) + both_views("fail", decided - passed, bucket, **own)
    cells += both_views("skipped", 412, 3, skip_reason="budget_exceeded")
    cells += both_views("skipped", 31, 3, skip_reason="provider_error") + both_views("not_applicable", 127, 5)
    cells += both_views("pass", 2_640, current=False) + both_views("fail", 510, current=False)
    new = {"fingerprint": "bbbb2222", "version": 4}
    for dimension, values in {
        "model": {"gpt-5-mini": (700, 300), "claude-haiku-4-5 with a very long deployment name": (520, 210)},
        "prompt version": {"support 12": (900, 250), "support 13": (320, 260), "": (60, 20)},
        "condition set": {"paying customers": (610, 270), "everybody": (670, 260)},
    }.items():
        for value, (passed, failed) in values.items():
            cells += [cell(dimension, value, "pass", passed, **new), cell(dimension, value, "fail", failed, **new)]
    for place in range(BINS):
        count = 10 + int(200 * max(0.0, 1 - abs(place - 14) / 8))
        cells.append(cell("score", place, "pass", count, score_sum=count * place / 20, **new))
    return cells


def content(cells: list[Cell] | None = None, **fields: Any) -> dict[str, Any]:
    """Return a content as the generator stores it."""
    latencies = [Latency("bbbb2222", 0.84, 2.91)]
    figures = make_figures(rich_cells() if cells is None else cells, latencies, Shape({}, 0.0, 1.0), PERIOD)
    example = {
        "result_id": "5b1e9d5e-0000-4000-8000-000000000001",
        "generation_id": "0b1e9d5e-0000-4000-8000-000000000002",
        "trace_id": None,
        "timestamp": "2026-11-26T10:00:00+00:00",
        "version": 4,
        "reasoning": "The answer names a refund policy that the documents do not contain.",
    }
    other = example | {"reasoning": "The answer is in English although the customer wrote in German."}
    made = {
        "evaluation": {"id": "8b4883eb-9190-4e70-bfb9-71682af8a50b", "name": "Answers the question", "version": 4},
        "title": plain_title("Answers the question", figures),
        "sections": plain_sections(figures),
        "metrics_unavailable": False,
        "figures": figures,
        "examples": {"sampled_failures": 200, "newest": [example, other], "typical": [{"count": 61, **other}]},
        "written_by": None,
    }
    return made | fields


def figure(value: float, low: float, high: float) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high, "too_few": None}


def lacking(labels: int) -> dict[str, float | None]:
    return {"value": None, "low": None, "high": None, "too_few": labels}


def believed(**corrected: Any) -> dict[str, Any]:
    """Return the trust in a version with enough labels."""
    return {
        "labels": 240, "pairs": 231, "agreement": figure(0.914, 0.871, 0.944), "passes_found": figure(0.95, 0.91, 0.97),
        "fails_found": figure(0.83, 0.74, 0.89), "warnings": [],
        "chance_corrected": {"name": "kappa", "word": "good", **figure(0.78, 0.7, 0.86)},
        "corrected": {"kind": "rate", "labels": 231, "refused": None, "missing": {},
                      "value": 0.682, "low": 0.651, "high": 0.712} | corrected,
    }  # fmt: skip


def barely_labelled() -> dict[str, Any]:
    """Return the trust in a version with too few labels for any figure."""
    nothing = {"value": None, "low": None, "high": None}
    return {
        "labels": 12, "pairs": 12, "agreement": lacking(18), "passes_found": lacking(1), "fails_found": lacking(25),
        "warnings": [], "chance_corrected": None,
        "corrected": {"kind": "rate", "labels": 12, "refused": "too_few", **nothing,
                      "missing": {"labelled_pass": 13, "labelled_fail": 22}},
    }  # fmt: skip


def trusted_content() -> dict[str, Any]:
    """Return a content whose newest version has enough labels and whose older one has too few."""
    made = content()
    for version, trust in zip(made["figures"]["versions"], (believed(), barely_labelled()), strict=True):
        version["trust"] = trust
    made["sections"] = plain_sections(made["figures"])
    return made
