"""The standard library of Hog, one module per family. Pure: no clock, no chance, nothing outside but time zones.

Each module has a table `FUNCTIONS` of names as Hog writes them. `FUNCTIONS` here is all of them.
"""

from __future__ import annotations

from evaluators.hog.runtime.functions import Function
from evaluators.hog.stdlib import arrays, conversion, crypto, dates, encoding, json, math, other, patterns, strings


def _merged(*tables: dict[str, Function]) -> dict[str, Function]:
    """Return all functions by name. ValueError if two families have the same name."""
    merged: dict[str, Function] = {}
    for table in tables:
        twice = merged.keys() & table.keys()
        if twice:
            raise ValueError(f"Library functions defined twice: {', '.join(sorted(twice))}")
        merged.update(table)
    return merged


FUNCTIONS: dict[str, Function] = _merged(
    strings.FUNCTIONS,
    patterns.FUNCTIONS,
    encoding.FUNCTIONS,
    conversion.FUNCTIONS,
    json.FUNCTIONS,
    arrays.FUNCTIONS,
    math.FUNCTIONS,
    dates.FUNCTIONS,
    crypto.FUNCTIONS,
    other.FUNCTIONS,
)
"""Every library function by its name in Hog."""
