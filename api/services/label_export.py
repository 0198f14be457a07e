"""Labels as lines of CSV or JSON, one at a time."""

from __future__ import annotations

from collections.abc import Iterator

from api.http.csv_text import csv_line
from api.services.labels import shown
from config.label_verdicts import short_verdict
from storage.sql.labels import Label

COLUMNS = (
    "target_event_id", "verdict", "comment", "labeller", "source", "question", "seconds", "adjudicates",
    "after_reveal", "created_at", "evaluation", "client_id", "id",
)  # fmt: skip
"""The columns of an export as CSV, which `gavel labels import` reads back."""


def as_csv(found: Iterator[Label]) -> Iterator[str]:
    """Yield labels as lines of CSV, with a header."""
    yield csv_line(COLUMNS)
    for label in found:
        row = shown(label).model_dump(mode="json") | {"verdict": short_verdict(label.verdict)}
        yield csv_line(row[name] for name in COLUMNS)


def as_jsonl(found: Iterator[Label]) -> Iterator[str]:
    """Yield labels as lines of JSON."""
    for label in found:
        yield f"{shown(label).model_dump_json()}\n"
