"""Events are worked through together, step by step; what comes out is what comes out of each alone, in its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.event_matcher import MAX_EVENT_BYTES, EventTooLarge, Unreadable
from processor.ledger import Output
from tests.services.records import Record, generation_row
from tests.unit.processor.matching import event_matcher, snapshot_of

JUDGE = {
    "evaluation_type": "llm_judge",
    "evaluation_config": {"prompt": "Is it right?"},
    "model_configuration": {"provider": "openai", "model": "gpt-5-mini"},
}
CHEAP = [{"id": "cheap", "properties": [{"key": "$ai_model", "operator": "exact", "value": "gpt-5-mini"}]}]
BROKEN = {"evaluation_config": {"source": "return output.a.b.c > 1"}}
SNAPSHOT = snapshot_of({}, {"conditions": CHEAP}, {**JUDGE, "conditions": CHEAP}, BROKEN)

# A part that no filter names is passed over unseen, until a run asks for it.
UNREAD = generation_row(7).replace(b'\\"What is 7 squared?\\"', b"tru")
KINDS = {
    "matches": generation_row,
    "does not match all": lambda n: generation_row(n, model="gpt-5"),
    "another event": lambda n: generation_row(n, row={"event": "$pageview"}),
    "another team": lambda n: generation_row(n, row={"team_id": 99}),
    "a judge's own call": lambda n: generation_row(n, evaluation_judge=True),
    "no JSON": lambda n: b'{"event": "$ai_generation"',
    "no row": lambda n: b'{"event": "$ai_generation", "uuid": 3}',
    "no properties": lambda n: generation_row(n, row={"properties": "[]"}),
    "no timestamp": lambda n: generation_row(n, row={"timestamp": "yesterday"}),
    "unread": lambda n: UNREAD,
    "tombstone": lambda n: None,
    "too large": lambda n: generation_row(n, input="x" * MAX_EVENT_BYTES),
}


def refused(message: Any, error: Unreadable) -> Output:
    return Output("refused", str(message.offset()).encode(), str(error).encode(), [])


def taken(records: list[Record]) -> tuple[list[Output], dict[tuple[str, str], int]]:
    events = event_matcher()
    outputs = events.take(records, SNAPSHOT, refused)
    return outputs, {name: count for name, count in events.counts.items() if count}


ALONE = {kind: taken([Record(make(5), 0)]) for kind, make in KINDS.items()}


def test_each_kind_alone() -> None:
    topics = {kind: " ".join(sorted({output.topic for output in outputs})) for kind, (outputs, _) in ALONE.items()}
    quiet = ("another event", "another team", "a judge's own call", "tombstone")
    unreadable = ("no JSON", "no row", "no properties", "no timestamp", "unread", "too large")
    assert topics == {
        "matches": "results tasks",
        "does not match all": "results",
        **dict.fromkeys(quiet, ""),
        **dict.fromkeys(unreadable, "refused"),
    }
    assert [len(ALONE[kind][0]) for kind in unreadable] == [1] * len(unreadable), "one for the event as a whole"


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=200))
def test_events_together_give_what_each_gives_alone(kinds: list[str]) -> None:
    """In the order of the events, across the bounds of what goes together, and with the same counts."""
    records = [Record(KINDS[kind](5), 0) for kind in kinds]
    outputs, counts = taken(records)
    assert outputs == [output for kind in kinds for output in ALONE[kind][0]]
    names = {name for kind in kinds for name in ALONE[kind][1]}
    assert counts == {name: sum(ALONE[kind][1].get(name, 0) for kind in kinds) for name in names}


def test_a_refused_event_may_leave_nothing() -> None:
    rows = [KINDS["no JSON"](1), KINDS["unread"](2), generation_row(3)]
    seen: list[type[Exception]] = []

    def count(_message: Any, error: Unreadable) -> None:
        seen.append(type(error))

    outputs = event_matcher().take([Record(row, at) for at, row in enumerate(rows)], SNAPSHOT, count)
    assert len(seen) == 2
    assert EventTooLarge not in seen
    assert outputs == event_matcher().take([Record(rows[2], 2)], SNAPSHOT, count)


def test_the_pulse_comes_with_each_portion_and_before_the_runs_of_each_event_and_may_end_it() -> None:
    beats = 0

    def pulse() -> None:
        nonlocal beats
        beats += 1
        if beats == 6:
            raise KeyboardInterrupt

    rows = [generation_row(1), generation_row(2), KINDS["another event"](3)]
    event_matcher().take([Record(row) for row in rows], SNAPSHOT, refused, pulse)
    assert beats == 1 + 2
    event_matcher().take([Record(rows[2])], SNAPSHOT, refused, pulse)
    assert beats == 1 + 2 + 1, "a replay without a match is not forgotten"
    with pytest.raises(KeyboardInterrupt):
        event_matcher().take([Record(rows[0])], SNAPSHOT, refused, pulse)
