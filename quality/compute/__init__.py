"""The calculator over the room: `{kind, input}` in, JSON out (`gavel trust compute`)."""

from __future__ import annotations

from typing import Any

from quality.compute.agreement import AGREEMENT
from quality.compute.answers import Calculator
from quality.compute.fields import BadInput, Fields, mapping, shown
from quality.compute.judges import JUDGES
from quality.compute.rates import RATES
from quality.compute.versions import VERSIONS

__all__ = ["KINDS", "BadInput", "compute"]

KINDS: dict[str, Calculator] = {**AGREEMENT, **RATES, **VERSIONS, **JUDGES}


def compute(request: object) -> dict[str, Any]:
    """Return the figures of one request, or `{"refused": reason}` where the data does not allow any.

    Args:
        request: decoded JSON, an object with `kind` (one of `KINDS`) and `input` (an object). Other keys are ignored.

    Raises:
        BadInput: a value is missing, of the wrong kind, unknown or in contradiction to another one.
        ExtraMissing: the kind needs a package of the extra `quality` that is not installed.
    """
    given = mapping(request, "the request")
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadInput("kind", f"must be one of {', '.join(KINDS)}, not {shown(kind)}")
    if "input" not in given:
        raise BadInput("input", "is missing")
    fields = Fields(given["input"], "input")
    answer = KINDS[kind](fields)
    fields.refuse_unknown()
    return answer
