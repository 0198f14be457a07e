"""How a report writes rates, differences and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def percent(value: float) -> str:
    """Return a rate in percent with one decimal; the space before the sign does not break."""
    return f"{value * 100:.1f}\u00a0%"


def points(value: float) -> str:
    """Return a difference of rates in percentage points, with its sign."""
    return f"{value * 100:+.1f} points"


def interval(figure: Mapping[str, Any]) -> str:
    """Return the bounds of a rate's interval."""
    return f"95\u00a0% interval {percent(figure['low'])} to {percent(figure['high'])}"
