"""Rows as CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable


def csv_line(cells: Iterable[object]) -> str:
    """Return one line of CSV with its line end. None is an empty cell."""
    out = io.StringIO()
    csv.writer(out).writerow([_inert("" if cell is None else str(cell)) for cell in cells])
    return out.getvalue()


def _inert(text: str) -> str:
    """Return `text` so that a spreadsheet shows it and does not calculate it."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
