"""The ids by which spans, events of an application's trace, metrics and log lines are joined.

They follow from the result's id and the event's properties alone, so a judge's call finds the span of its evaluation
although that span ends later, and a run that is repeated after a crash has the same ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_SPAN_ID = re.compile(r"[0-9a-fA-F]{16}")


@dataclass(frozen=True, slots=True)
class TraceIds:
    """Where the span of an evaluation stands.

    Attributes:
        trace_id: the event's, if that is a W3C trace id; otherwise one that follows from the result's id.
        span_id: of the evaluation's span.
        parent_id: of the span of the generation, 0 if it is not known.
        linked: whether `trace_id` is the event's.
    """

    trace_id: int
    span_id: int
    parent_id: int
    linked: bool


def ids_of(result_id: str, trace_id: Any, span_id: Any = None) -> TraceIds:
    """Return the ids of a result.

    Args:
        trace_id, span_id: `$ai_trace_id` and `$ai_span_id` of the event, of any type.

    Raises:
        ValueError: `result_id` is not a UUID.
    """
    own = UUID(result_id).int
    event = _number(_TRACE_ID, trace_id)
    return TraceIds(
        trace_id=event or own,
        span_id=(own >> 64) & (2**64 - 1),
        parent_id=_number(_SPAN_ID, span_id) if event else 0,
        linked=bool(event),
    )


def hex_trace_id(result_id: str, trace_id: Any) -> str:
    """Return the trace id of a result as tools show it. Raises ValueError as `ids_of`."""
    return f"{ids_of(result_id, trace_id).trace_id:032x}"


def _number(form: re.Pattern[str], text: Any) -> int:
    return int(text, 16) if isinstance(text, str) and form.fullmatch(text) else 0
