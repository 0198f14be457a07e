"""Events are processed together, step by step; the outputs equal those of each event alone, in order."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import processor.matcher.event_matcher
from conditions import EventRow, RowError
from processor.events.output import Output
from processor.events.row import MAX_EVENT_BYTES, EventTooLarge
from processor.events.task import is_match, read_task
from processor.matcher.budget import TeamBudget
from storage.snapshot import Snapshot
from tests.services.records import Record, generation_row
from tests.unit.processor.matcher.matching import event_matcher, outputs_of, snapshot_of

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


def refused(message: Any, error: RowError) -> Output:
    return Output("dead_letter", "refused", str(message.offset()).encode(), str(error).encode(), [])


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

    def count(_message: Any, error: RowError) -> None:
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


class Broken:
    """A writer of results that fails at one event."""

    def __init__(self, writer: Any, uuid: str) -> None:
        self._writer, self._uuid = writer, uuid

    def write(self, key: str, *arguments: Any) -> Any:
        if self._uuid in key:
            raise UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed")
        return self._writer.write(key, *arguments)


def unusual(_value: bytes) -> EventRow:
    raise msgspec.DecodeError


@pytest.mark.parametrize("step", ["decode", "read", "match", "evaluate", "write"])
def test_an_exception_of_ours_is_one_dead_letter_and_the_others_go_on(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever step it happens in: a process that ended would meet the same record again after each restart."""
    snapshot, events = snapshot_of({}), event_matcher()
    bad = json.loads(generation_row(2))["uuid"]

    def failing(real: Any, of: Any) -> Any:
        def call(first: Any, *rest: Any, **more: Any) -> Any:
            if of(first) == bad:
                raise ZeroDivisionError
            return real(first, *rest, **more)

        return call

    module = processor.matcher.event_matcher
    if step == "decode":
        monkeypatch.setattr(
            module, "decode_usual_row", failing(module.decode_usual_row, lambda value: json.loads(value)["uuid"])
        )
    elif step == "read":
        monkeypatch.setattr(module, "decode_usual_row", unusual)
        monkeypatch.setattr(module, "read_event", failing(module.read_event, lambda m: json.loads(m.value())["uuid"]))
    elif step == "match":
        matcher = snapshot.teams[1].matcher
        team = SimpleNamespace(
            matcher=SimpleNamespace(match=failing(matcher.match, lambda row: row.uuid)),
            enabled=1,
            evaluations=snapshot.teams[1].evaluations,
        )
        snapshot = SimpleNamespace(teams={1: team})
    elif step == "evaluate":
        monkeypatch.setattr(module, "lazy_generation", failing(module.lazy_generation, lambda row: row.uuid))
    else:
        known = events._known.of(snapshot.teams[1].evaluations[0])
        known.writer = Broken(known.writer, bad)
    of_a_stranger = [("gavel.task.run_key", b"other"), ("gavel.task.answers", b"forged")] if step == "write" else []
    outputs = events.take([Record(generation_row(n), n, head=of_a_stranger) for n in (1, 2, 3)], snapshot, refused)
    assert [output.kind for output in outputs] == ["result", "dead_letter", "result"]
    headers = dict(outputs[1].headers)
    if step == "write":
        task = read_task(outputs[1].headers)
        assert (task.event_uuid, task.answers) == (bad, ""), "a redrive makes a task of it"
    assert (headers["gavel.error.class"], headers["gavel.error.offset"]) == (b"evaluator_bug", b"2")
    assert outputs[1].value == generation_row(2)
    assert ("gavel.error.redrive_topic" in headers) == (step == "write"), "one run runs again, or the event as a whole"


ODD_ROWS = {
    "usual": {},
    "no uuid": {"uuid": ""},
    "null uuid": {"uuid": None},
    "other event": {"event": "$pageview", "distinct_id": "$ai_generation"},
    "null event": {"event": None, "distinct_id": "$ai_generation"},
    "null field": {"distinct_id": None},
    "half a pair": {"distinct_id": "\ud800"},
    "half a pair in the uuid": {"uuid": "\ud800"},
    "wrong type": {"team_id": "one"},
    "long uuid": {"uuid": "u" * 300},
}


@pytest.mark.parametrize("name", ODD_ROWS)
@pytest.mark.parametrize("headers", [[], [("event", b"$ai_generation")], [("event", b"$pageview")]])
def test_the_short_way_of_the_usual_record_decides_as_read_event_does(
    name: str, headers: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(json.dumps(json.loads(generation_row(1)) | ODD_ROWS[name]).encode(), head=headers)

    def decided() -> tuple[object, object]:
        events = event_matcher()
        return events._decode([record], refused), events.counts

    short = decided()
    monkeypatch.setattr(processor.matcher.event_matcher, "decode_usual_row", unusual)
    assert short == decided()


def test_a_result_that_no_message_can_hold_is_a_dead_letter() -> None:
    """A trace id is copied; beside half of a surrogate pair its other characters are written as escapes, too."""
    properties = '{"$ai_trace_id": "' + "€" * 2_000_000 + '\\ud83d"}'
    huge = json.dumps(json.loads(generation_row(1)) | {"properties": properties}, ensure_ascii=False).encode()
    (output,) = event_matcher().take([Record(huge)], snapshot_of({}), refused)
    assert (output.kind, dict(output.headers)["gavel.error.class"]) == ("dead_letter", b"too_large")


def test_a_team_that_has_used_its_budget_leaves_the_batch_to_the_others() -> None:
    """Its runs move to the task topic; the results of the other team do not change."""
    budget, teams = TeamBudget(60.0), snapshot_of({}).teams
    both = Snapshot(1, {1: teams[1], 2: teams[1]})
    rows = [Record(generation_row(n, row={"team_id": 1 + n % 2}), n) for n in range(20)]
    events = event_matcher(budget)
    unlimited = event_matcher().take(rows, both, refused)
    budget.ran(1, 100.0)
    outputs = events.take(rows, both, refused)
    assert [output.kind for output in outputs] == ["task", "result"] * 10
    assert outputs[1::2] == unlimited[1::2]
    assert events.counts["moved", "hog"] == 10
    assert [read_task(output.headers).run_key for output in outputs[::2]] == [
        f"llma-hog-eval-{dict(each.headers)['evaluation_id'].decode()}-{(each.key or b'')[2:].decode()}-ingestion"
        for each in unlimited[::2]
    ], "the judge makes the same runs"
    events.begin_batch()
    assert events.take(rows, both, refused) == unlimited, "the next batch has a whole budget again"


def test_what_a_team_uses_is_added_up() -> None:
    budget = TeamBudget(2.0)
    budget.matched(1, 1.0)
    budget.ran(1, 1.0)
    left = (budget.left_to_match_s(1), budget.left_to_run_s(1))
    assert left == (1.0, 0.0), "matching goes on if it is not the slow part"
    budget.matched(1, 1.0)
    assert (budget.left_to_match_s(1), budget.left_to_match_s(2), budget.left_to_run_s(2)) == (0.0, 2.0, 2.0)


def test_the_time_of_matching_and_of_runs_counts() -> None:
    budget = TeamBudget(60.0)
    event_matcher(budget).take([Record(generation_row(1), 1)], snapshot_of({}), refused)
    assert budget._matching[1] > 0
    assert budget._running[1] > 0


def test_an_event_that_nobody_had_time_to_match_goes_on_as_it_is() -> None:
    budget = TeamBudget(1.0)
    events = event_matcher(budget)
    budget.matched(1, 2.0)
    (output,) = events.take([Record(generation_row(1), 1)], snapshot_of({}, {}), refused)
    assert (output.kind, output.topic, output.value) == ("task", "tasks", generation_row(1))
    assert is_match(read_task(output.headers))
    (judged,) = [each for each in outputs_of(SNAPSHOT, generation_row(1)) if each.kind == "task"]
    assert not is_match(read_task(judged.headers))
