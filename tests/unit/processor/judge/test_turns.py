"""Turns: who is judged now, who waits in a lane, and that no slot stays free while somebody waits."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from math import inf, isqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.events.output import Output, TopicAndPartition
from processor.events.task import Task, read_task
from processor.judge.parked import Delays, Parking
from processor.judge.turns import Turns

TASKS = ("tasks", 0)
SLOTS = 8.0


class Message:
    """A task's message."""

    def __init__(self, evaluation: str, number: int = 0, *, team: int = 1, headers: Any = None) -> None:
        task = Task(team, evaluation, f"u{number}", f"run-{evaluation}-{number}", "c", "2026-03-02T12:00:00+00:00")
        self._headers = task.headers() if headers is None else headers
        self.number = number

    def headers(self) -> Any:
        return self._headers

    def offset(self) -> int:
        return self.number

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"the event"


class Control:
    def __init__(self) -> None:
        self.deferred: dict[TopicAndPartition, int] = {}
        self.woken: list[TopicAndPartition] = []

    def defer(
        self, source: TopicAndPartition, offset: int, *, wait_s: float, parked_since_ms: int | None = None
    ) -> None:
        assert wait_s > 0
        self.deferred[source] = offset

    def wake(self, source: TopicAndPartition | None = None) -> None:
        assert source is not None
        self.deferred.pop(source, None)
        self.woken.append(source)


class NeverReleased:
    def released_ms(self, _evaluation_id: str) -> int:
        return 0


class Bench:
    """Turns over eight slots of one gate."""

    def __init__(self, *, partitions: int = 8, weights: dict[str, float] | None = None, most: int = 1_000) -> None:
        self.delays = Delays(30.0, 900.0, partitions)
        parking = Parking("parked", self.delays, limit_s=86_400, now_ms=lambda: 0, releases=NeverReleased())
        self.slots: dict[str, tuple[Hashable, float]] = {}
        self.overflowed = 0
        self.turns = Turns(parking, self.capacity, weights=weights or {}, max_in_hand=most, overflowed=self.count)
        self.control = Control()

    def count(self) -> None:
        self.overflowed += 1

    def capacity(self, task: Task) -> tuple[Hashable, float]:
        return self.slots.get(task.evaluation_id, ("gate", SLOTS))

    def batch(self, messages: list[Message], source: TopicAndPartition = TASKS) -> tuple[list[Message], list[Output]]:
        """Read a batch as the stage does; return the runs that were started and those that were put in line."""
        taken, lined_up = [], []
        for message in self.turns.admit(source, messages, self.control):
            output = self.turns.take(source, message)
            if output is None:
                taken.append(message)
            else:
                lined_up.append(output)
        return taken, lined_up

    @property
    def lane(self) -> TopicAndPartition:
        return ("parked", self.delays.lane("flood", "u0"))


def flood(count: int, start: int = 0, **fields: Any) -> list[Message]:
    return [Message("flood", number, **fields) for number in range(start, start + count)]


def test_a_flood_is_put_in_line_and_what_comes_behind_it_is_taken_at_once() -> None:
    bench = Bench()
    quiet = Message("quiet", 500)
    taken, lined_up = bench.batch([*flood(500), quiet])
    assert taken[-1] is quiet
    assert len(taken) == 10 + 1, "as many as have a slot, and a few so that none is free for long"
    assert len(lined_up) == bench.overflowed == 490
    task = read_task(lined_up[0].headers)
    assert (task.parked_cause, task.attempt, task.parked_since_ms, task.not_before_ms) == ("overflow", 0, 0, 0)
    assert (lined_up[0].key, lined_up[0].value, task.run_key) == (b"k", b"the event", "run-flood-10")


def test_who_lines_up_goes_on_lining_up_while_runs_of_it_are_in_hand() -> None:
    """Runs taken past the line would hold up the results behind them on the topic."""
    bench = Bench()
    taken, _ = bench.batch(flood(20))
    bench.turns.give_back(taken[:5])
    assert bench.batch(flood(5, 20))[0] == []
    bench.turns.give_back(taken[5:7])
    assert len(bench.batch(flood(5, 25))[0]) == 5, "few are in hand, so the line is empty or another process has it"


def test_a_lane_is_read_as_slots_come_free_and_no_further() -> None:
    bench = Bench()
    waiting = flood(200)
    taken, again = bench.batch(waiting, bench.lane)
    assert (len(taken), again) == (32, []), "a run of a lane is not put into a lane again"
    assert bench.control.deferred == {bench.lane: 32}
    bench.turns.wake(bench.control)
    assert bench.control.woken == []
    bench.turns.give_back(taken[:16])
    bench.turns.wake(bench.control)
    assert bench.control.woken == []
    bench.turns.give_back(taken[16:17])
    bench.turns.wake(bench.control)
    assert bench.control.woken == [bench.lane]
    assert len(bench.batch(waiting[32:], bench.lane)[0]) == 17


def test_what_others_do_not_use_may_be_used_and_what_they_come_to_use_is_left_to_them() -> None:
    bench = Bench()
    assert len(bench.batch([Message("quiet")])[0]) == 1
    flooding, _ = bench.batch(flood(100))
    assert len(flooding) == 9, "seven slots are not used by the other"
    second, _ = bench.batch([Message("second", number) for number in range(100)])
    assert len(second) == 4, "a third of eight slots"


def test_teams_share_first_and_weights_count() -> None:
    bench = Bench(weights={"2": 3.0, "heavy": 2.0})
    bench.batch(flood(20))
    bench.batch(flood(20))
    other, _ = bench.batch([Message("other", number, team=2) for number in range(20)])
    assert len(other) == 8, "three quarters of eight slots, and a quarter more"
    heavy, _ = bench.batch([Message("heavy", number, team=2) for number in range(20)])
    assert len(heavy) == 5, "two thirds of those"


def test_evaluations_of_different_keys_and_models_do_not_share() -> None:
    bench = Bench()
    bench.slots["elsewhere"] = ("another gate", 4.0)
    assert len(bench.batch(flood(100))[0]) == 10
    assert len(bench.batch([Message("elsewhere", number) for number in range(100)])[0]) == 5


def test_runs_that_end_at_an_open_breaker_need_no_slot_and_no_line() -> None:
    bench = Bench()
    bench.slots["flood"] = ("gate", inf)
    assert len(bench.batch(flood(500))[0]) == 500
    assert bench.overflowed == 0
    small = Bench(most=20)
    small.slots["flood"] = ("gate", inf)
    assert len(small.batch(flood(50))[0]) == 20, "what is in hand is bounded all the same"


def test_a_topic_without_lanes_takes_everything() -> None:
    bench = Bench(partitions=1)
    assert len(bench.batch(flood(500))[0]) == 500


def test_the_bound_of_what_is_in_hand_holds_over_all_evaluations_and_lanes_leave_half() -> None:
    bench = Bench(most=20)
    for number in range(40):
        bench.slots[f"e{number}"] = (number, 8.0)
    taken = sum(len(bench.batch([Message(f"e{number}", number)])[0]) for number in range(40))
    assert taken == 20
    fresh = Bench(most=20)
    assert len(fresh.batch(flood(50), fresh.lane)[0]) == 10


def test_a_task_that_cannot_be_read_is_taken_and_becomes_a_dead_letter() -> None:
    bench = Bench()
    nonsense = Message("x", headers=[("gavel.task.team_id", b"x")])
    assert bench.batch([nonsense]) == ([nonsense], [])
    assert bench.batch([nonsense], bench.lane) == ([nonsense], [])
    bench.turns.give_back([nonsense])


def test_lanes_of_an_evaluation_are_several_but_not_all() -> None:
    delays = Delays(30.0, 900.0, 24)
    lanes = {name: {delays.lane(name, f"u{n}") for n in range(200)} for name in ("a", "b", "c", "d", "e", "f")}
    assert all(1 < len(found) < len(delays.lanes) for found in lanes.values())
    assert len({frozenset(found) for found in lanes.values()}) > 1
    assert all(lane in delays.lanes for found in lanes.values() for lane in found)


@pytest.mark.parametrize("judges", [2, 4, 8])
def test_every_judge_has_equally_many_lanes_of_an_evaluation(judges: int) -> None:
    """A group gives each of its members neighbouring partitions. A judge without a lane has no part in a backlog."""
    delays = Delays(30.0, 900.0, 64)
    for name in ("a", "b", "c", "d", "e", "f"):
        found = {delays.lane(name, f"u{n}") for n in range(500)}
        assert Counter(lane // (64 // judges) for lane in found) == dict.fromkeys(range(judges), 8 // judges)


@given(st.integers(2, 100), st.sampled_from([30.0, 400.0, 900.0]))
def test_every_evaluation_has_as_many_lanes_as_there_are_stripes(partitions: int, initial_s: float) -> None:
    delays = Delays(initial_s, 900.0, partitions)
    found = {delays.lane("a", f"u{n}") for n in range(1000)}
    assert found <= set(delays.lanes)
    assert len(found) == len(delays.lanes) // isqrt(len(delays.lanes))


@given(
    st.integers(2, 12),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.integers(0, 40)), min_size=1, max_size=25),
)
def test_every_run_is_taken_once_and_written_to_a_line_once_at_most(
    partitions: int, script: list[tuple[str, int, int]]
) -> None:
    """Whatever comes and ends in whatever order; in the end nothing waits and nothing is in hand."""
    bench = Bench(partitions=partitions, most=60)
    lanes: dict[int, deque[Message]] = {lane: deque() for lane in bench.delays.lanes}
    in_hand: deque[Message] = deque()
    taken: Counter[int] = Counter()
    sent = 0

    def read(messages: list[Message], source: TopicAndPartition) -> None:
        found, lined_up = bench.batch(messages, source)
        for message in found:
            taken[message.number] += 1
            in_hand.append(message)
        for output in lined_up:
            assert source == TASKS
            task = read_task(output.headers)
            lanes[output.partition].append(Message(task.evaluation_id, int(task.event_uuid[1:])))

    def read_lanes() -> None:
        for lane, waiting in lanes.items():
            before = len(in_hand)
            if ("parked", lane) not in bench.control.deferred:
                read(list(waiting), ("parked", lane))
                for _ in range(len(in_hand) - before):
                    waiting.popleft()

    def end(count: int) -> None:
        gone = [in_hand.popleft() for _ in range(min(count, len(in_hand)))]
        bench.turns.give_back(gone)
        bench.turns.wake(bench.control)

    for evaluation, count, ended in script:
        read([Message(evaluation, sent + number) for number in range(count)], TASKS)
        sent += count
        read_lanes()
        end(ended)
    rounds = 0
    while any(lanes.values()) or in_hand:
        rounds += 1
        assert rounds < 10 * sent + 10, "somebody waits for ever"
        end(7)
        read_lanes()
    assert taken == Counter(range(sent))
    assert all(bench.turns.in_hand(name) == 0 for name in "abc")
