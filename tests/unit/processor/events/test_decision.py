"""A decision is one event with an id that a retry reproduces, and the sink reads back the same decision."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from processor.events.decision import DECISION_EVENT, MAX_DETAIL_CHARS, decision_output
from processor.events.output import Output
from processor.events.task import Task
from processor.sink.columns import DECISION_FIELDS
from processor.sink.rows import BadRow, Passed, decode_decision, decode_label, decode_result
from tests.services.records import Record

TASK = Task(7, "e", "u", "llma-llm-eval-e-u-ingestion", "c", "2026-03-01T10:00:00.000000+00:00", version=3)


def record(output: Output, **changed: Any) -> Record:
    row = {**orjson.loads(output.value or b""), **changed}
    return Record(orjson.dumps(row))


def test_a_repeat_is_the_same_event_and_another_reason_another_one() -> None:
    one, same = (decision_output(TASK, "not_made", "over_budget", "the team's", "results") for _ in range(2))
    other = decision_output(TASK, "not_made", "evaluation_paused", "", "results")
    assert one == same
    assert (one.kind, one.topic, one.key) == ("decision", "results", b"7:u")
    assert orjson.loads(one.value or b"")["uuid"] != orjson.loads(other.value or b"")["uuid"]


def test_the_sink_reads_a_decision_and_no_other_table_takes_it() -> None:
    made = record(decision_output(TASK, "not_made", "over_budget", "x" * 2000, "results"))
    row = decode_decision(made)
    names = [name for name, _, _ in DECISION_FIELDS]
    found = dict(zip(names, row[-len(names) :], strict=True))
    assert found == {
        "evaluation_id": "e", "target_event_id": "u", "decision": "not_made", "reason": "over_budget",
        "detail": "x" * MAX_DETAIL_CHARS, "evaluation_version": 3, "trigger": "live",
    }  # fmt: skip
    for decode in (decode_result, decode_label):
        with pytest.raises(Passed, match="other_event"):
            decode(made)


def test_a_decision_without_its_run_is_refused() -> None:
    made = decision_output(TASK, "not_made", "over_budget", "", "results")
    with pytest.raises(BadRow, match=DECISION_EVENT.replace("$", r"\$")):
        decode_decision(record(made, properties='{"$ai_decision_reason": "over_budget"}'))
