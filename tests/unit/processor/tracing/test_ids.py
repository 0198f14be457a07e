"""The ids that join spans with an application's traces."""

from __future__ import annotations

from typing import Any

import pytest

from processor.tracing.ids import hex_trace_id, ids_of

RESULT = "9f1f2b6e-5c0c-5c39-8a43-5f9d0f6b7a10"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_the_trace_of_an_event_with_a_w3c_id_is_joined() -> None:
    ids = ids_of(RESULT, TRACE, "00f067aa0ba902b7")
    assert (f"{ids.trace_id:032x}", f"{ids.parent_id:016x}", ids.linked) == (TRACE, "00f067aa0ba902b7", True)
    assert ids_of(RESULT, TRACE.upper()).trace_id == ids.trace_id


@pytest.mark.parametrize(
    "trace_id",
    [None, "", "trace 1", "0" * 32, TRACE[:-1], TRACE + "0", f" {TRACE}", "g" * 32, 7, ["x"], "４" * 32, TRACE + "\n"],
)
def test_another_id_gives_a_trace_of_its_own_that_is_always_the_same(trace_id: Any) -> None:
    ids = ids_of(RESULT, trace_id, "00f067aa0ba902b7")
    assert not ids.linked
    assert ids.parent_id == 0, "a span of another trace is not a parent"
    assert ids.trace_id == ids_of(RESULT, None).trace_id != 0
    assert ids.span_id != 0
    assert len(hex_trace_id(RESULT, trace_id)) == 32


def test_results_on_one_event_have_spans_of_their_own() -> None:
    other = RESULT.replace("9", "8")
    assert ids_of(RESULT, TRACE).span_id != ids_of(other, TRACE).span_id
