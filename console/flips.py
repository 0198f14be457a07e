"""The conversations on which two versions disagree, as lines of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from api.http.csv_text import csv_line

_COLUMNS = ("target_event_id", "item", "a", "b", "reasoning_a", "reasoning_b")


def as_csv(flips: Sequence[Any]) -> Iterator[str]:
    """Yield lines of CSV with a header; verdicts are JSON."""
    yield csv_line(_COLUMNS)
    for flip in flips:
        row = flip.model_dump(mode="json")
        yield csv_line(json.dumps(row[name]) if name in ("a", "b") else row[name] for name in _COLUMNS)


def as_jsonl(flips: Sequence[Any]) -> Iterator[str]:
    """Yield lines of JSON."""
    for flip in flips:
        yield f"{flip.model_dump_json()}\n"
