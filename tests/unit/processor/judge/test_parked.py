"""Parked runs come back when they are due, in any order of causes, and cost nothing meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.events.output import Output, TopicAndPartition
from processor.events.task import Task, read_task
from processor.judge.parked import TURNED_AWAY, Delays, Parking

TASK = Task(1, "e1", "u1", "run", "c", "2026-03-02T12:00:00+00:00")


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000_000_000
        self.released: dict[str, int] = {}
        self.answered: dict[str, int] = {}

    def now_ms(self) -> int:
        return self.ms

    def released_ms(self, evaluation_id: str) -> int:
        return self.released.get(evaluation_id, 0)

    def answered_ms(self, evaluation_id: str) -> int:
        return self.answered.get(evaluation_id, 0)


class Message:
    def __init__(self, offset: int, headers: Any, *, topic: str = "parked") -> None:
        self._offset, self._headers, self._topic = offset, headers, topic

    def topic(self) -> str:
        return self._topic

    def offset(self) -> int:
        return self._offset

    def headers(self) -> Any:
        return self._headers

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"the event, byte for byte"


class Control:
    def __init__(self) -> None:
        self.deferred: list[tuple[TopicAndPartition, int, float]] = []

    def defer(
        self, source: TopicAndPartition, offset: int, *, wait_s: float, parked_since_ms: int | None = None
    ) -> None:
        self.deferred.append((source, offset, wait_s))

    def wake(self, source: TopicAndPartition | None = None) -> None:
        raise AssertionError("nobody asked")


def parking(clock: Clock, *, partitions: int = 8) -> Parking:
    delays = Delays(30.0, 900.0, partitions)
    return Parking("parked", delays, limit_s=86_400, now_ms=clock.now_ms, releases=clock)


def park(
    made: Parking,
    task: Task = TASK,
    *,
    cause: str = "unavailable",
    wait_s: float | None = None,
    counts: bool = True,
) -> Output:
    return made.park(task, Message(0, []), cause=cause, wait_s=wait_s, counts=counts)


def test_a_parked_run_keeps_its_event_and_its_identity() -> None:
    output = park(parking(Clock()))
    assert (output.topic, output.key, output.value) == ("parked", b"k", b"the event, byte for byte")
    task = read_task(output.headers)
    assert (task.run_key, task.started_at, task.attempt, task.parked_cause) == (
        TASK.run_key,
        TASK.started_at,
        1,
        "unavailable",
    )


def test_each_attempt_waits_longer_up_to_the_longest_delay() -> None:
    clock = Clock()
    made = parking(clock)
    task, waits, partitions = TASK, [], []
    for _ in range(8):
        output = park(made, task)
        task = read_task(output.headers)
        waits.append((task.not_before_ms - clock.ms) / 1000)
        partitions.append(output.partition)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert partitions == [0, 1, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize(("wait_s", "delay_s"), [(None, 30), (0.0, 30), (31.0, 60), (400.0, 480), (5_000.0, 900)])
def test_what_a_provider_asks_for_is_never_undercut_while_there_is_a_delay_as_long(
    wait_s: float | None, delay_s: float
) -> None:
    clock = Clock()
    task = read_task(park(parking(clock), wait_s=wait_s).headers)
    assert task.not_before_ms - clock.ms == delay_s * 1000


def test_waiting_in_line_is_no_attempt_and_does_not_bring_the_end_nearer() -> None:
    task = read_task(park(parking(Clock()), counts=False).headers)
    assert (task.attempt, task.parked_since_ms) == (0, 0)
    assert task.not_before_ms > 0


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 5_000), st.integers(0, 100_000)), min_size=1, max_size=60),
)
def test_what_stands_in_one_partition_is_due_in_its_order(
    partitions: int, parkings: list[tuple[int, float, int]]
) -> None:
    """The law that lets the reader look at the first record only."""
    clock = Clock()
    made = parking(clock, partitions=partitions)
    last: dict[int, int] = {}
    for attempt, wait_s, passes_ms in parkings:
        clock.ms += passes_ms
        output = park(made, Task(1, "e", "u", "r", "c", "t", attempt=attempt), wait_s=wait_s)
        assert 0 <= output.partition < partitions
        due = read_task(output.headers).not_before_ms
        assert due >= last.get(output.partition, 0)
        last[output.partition] = due


def test_due_runs_are_admitted_and_the_rest_is_given_back_at_the_first_that_is_not() -> None:
    clock = Clock()
    made, control = parking(clock), Control()
    messages = []
    for offset in range(5):
        messages.append(Message(offset, park(made).headers))
        clock.ms += 10_000
    admitted = made.admit(("parked", 0), messages, control)
    assert [message.offset() for message in admitted] == [0, 1, 2]
    assert control.deferred == [(("parked", 0), 3, 10.0)]


def test_a_look_at_what_is_not_due_touches_one_record_however_many_wait() -> None:
    clock = Clock()
    made, control = parking(clock), Control()
    looked = 0

    class Counting(Message):
        def headers(self) -> Any:
            nonlocal looked
            looked += 1
            return super().headers()

    messages = [Counting(offset, park(made).headers) for offset in range(2_000)]
    assert made.admit(("parked", 0), messages, control) == []
    assert looked == 1
    assert len(control.deferred) == 1


def test_a_run_whose_obstacle_is_gone_goes_before_its_time() -> None:
    clock = Clock()
    made, control = parking(clock), Control()
    message = Message(0, park(made).headers)
    clock.ms += 1_000
    clock.released["e1"] = clock.ms
    assert made.admit(("parked", 0), [message], control) == [message]
    clock.ms += 1_000
    again = Message(1, park(made).headers)
    assert made.admit(("parked", 0), [again], control) == [], "what was parked after the release waits"


def test_a_run_that_was_turned_away_goes_as_soon_as_the_provider_answers_anybody() -> None:
    """Another process may have turned it away, whose breaker is not ours to wait for."""
    clock = Clock()
    made, control = parking(clock), Control()
    turned_away = Message(0, park(made, cause=TURNED_AWAY).headers)
    itself = Message(0, park(made).headers)
    clock.ms += 1_000
    assert made.admit(("parked", 0), [turned_away], control) == []
    assert control.deferred[0][2] <= 2.0, "it is looked at soon"
    clock.answered["e1"] = clock.ms
    assert made.admit(("parked", 0), [turned_away], control) == [turned_away]
    assert made.admit(("parked", 0), [itself], control) == [], "one that failed itself keeps to its delay"


@pytest.mark.parametrize("cause", ["refused", "unauthorized", "bad_request"])
def test_runs_that_were_refused_themselves_go_behind_those_that_were_turned_away(cause: str) -> None:
    clock = Clock()
    made, control = parking(clock), Control()
    refused = Message(0, park(made, cause=cause).headers)
    behind_it = Message(0, park(made, cause=TURNED_AWAY).headers)
    clock.ms += 1_000
    clock.released["e1"] = clock.ms
    assert made.admit(("parked", 0), [behind_it, refused], control) == [behind_it]
    clock.ms += 5_000
    assert made.admit(("parked", 0), [refused], control) == [refused]


def test_the_task_topic_is_never_held_up() -> None:
    made, control = parking(Clock()), Control()
    message = Message(0, park(made).headers, topic="tasks")
    assert made.admit(("tasks", 0), [message], control) == [message]


def test_a_clock_that_was_set_back_or_a_foreign_header_stops_nothing_for_long() -> None:
    clock = Clock()
    made, control = parking(clock), Control()
    message = Message(0, park(made).headers)
    clock.ms -= 10_000_000
    made.admit(("parked", 0), [message], control)
    assert control.deferred[0][2] <= 60.0
    nonsense = Message(1, [("gavel.task.team_id", b"x")])
    assert made.admit(("parked", 0), [nonsense], control) == [nonsense]


def test_a_run_expires_a_day_after_it_was_first_parked() -> None:
    clock = Clock()
    made = parking(clock)
    task = read_task(park(made).headers)
    assert not made.expired(TASK)
    clock.ms += 86_399_000
    assert not made.expired(task)
    clock.ms += 1_000
    assert made.expired(task)
