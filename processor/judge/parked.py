"""The parked topic: runs on it wait for a provider to work again, each until it is due.

Each partition of the parked topic holds one delay, so its records are due in the order of their offsets. The reader
looks at the first record only and pauses the partition until that one is due, so ten thousand parked runs cost one
timer. A run whose provider fails again moves on to a longer delay.

Partitions that no delay needs are *lanes*: there runs wait whose evaluation has more of them than its turn
allows (`processor.judge.turns`), without a time before which they may not run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import isqrt
from typing import Protocol
from zlib import crc32

from evaluators.llm_judge.failures import REASONS
from evaluators.llm_judge.outcome import REFUSED
from processor.events.message import Message, headers_of
from processor.events.output import Output, TopicAndPartition
from processor.events.task import Task, TaskError, read_task
from processor.stream.worker import Control

_LOOK_AGAIN_S = 60.0
"""No partition is left alone for longer, so that a clock that was set back does no harm."""


TURNED_AWAY = "turned_away"
"""Cause of a run that made no call, because the breaker was open or no key was usable: it may run as soon as one is."""
_BEHIND_MS = 5_000
"""Runs that were refused themselves go this much later than those that were turned away because of them."""
_REFUSALS = frozenset({REFUSED, *REASONS})
_LOOK_SOON_S = 2.0
OVERFLOW = "overflow"
"""Cause of a run that waits in a lane because its evaluation has more than its turn."""


class Delays:
    """The delay of each partition: from `initial_s` doubling up to `max_s`.

    Attributes:
        lanes: the partitions without one: at least a quarter; none if there is but one partition.
    """

    def __init__(self, initial_s: float, max_s: float, partitions: int) -> None:
        most = partitions if partitions == 1 else partitions - max(1, partitions // 4)
        delays = [min(initial_s, max_s)]
        while len(delays) < most and delays[-1] < max_s:
            delays.append(min(delays[-1] * 2, max_s))
        self._delays = tuple(delays)
        self.lanes = range(len(delays), partitions)
        self._stripes = _stripes(self.lanes, partitions)

    def lane(self, evaluation_id: str, event_uuid: str) -> int:
        """Return the lane of a run: one in each stripe for each evaluation, and of these one for each event.

        An evaluation has several lanes, so that several processes work off its backlog. It does not have all of them,
        because the backlogs of other evaluations must not wait behind it.
        """
        stripe = self._stripes[crc32(event_uuid.encode()) % len(self._stripes)]
        return stripe[crc32(evaluation_id.encode()) % len(stripe)]

    def partition(self, attempt: int, wait_s: float | None) -> int:
        """Return the partition for a run that was parked `attempt` times before and is to wait at least `wait_s`."""
        last = len(self._delays) - 1
        chosen = min(attempt, last)
        while chosen < last and self._delays[chosen] < (wait_s or 0.0):
            chosen += 1
        return chosen

    def delay_s(self, partition: int) -> float:
        """Return the delay of a partition; one that we do not write to has the longest."""
        return self._delays[min(partition, len(self._delays) - 1)]


def _stripes(lanes: range, partitions: int) -> list[range]:
    """Return about the square root of the number of lanes as stripes of neighbouring lanes.

    Brokers give neighbouring partitions to the same process, and each process equally many. So stripes divide all
    partitions evenly, those of the delays too, and each process has as many lanes of an evaluation as every other one.
    Where the delays would leave the first stripe without a lane, stripes divide the lanes alone.
    """
    if not lanes:
        return []
    count = len(lanes) // isqrt(len(lanes))
    first = 0 if lanes.start < partitions // count else lanes.start
    bounds = [first + (partitions - first) * number // count for number in range(count + 1)]
    return [range(max(start, lanes.start), end) for start, end in pairwise(bounds)]


class Releases(Protocol):
    """Tells which runs may start before their time, because the cause of their delay is gone."""

    def released_ms(self, evaluation_id: str) -> int:
        """Return when the evaluation's obstacle went away, in epoch milliseconds; 0 if it never did."""

    def answered_ms(self, evaluation_id: str) -> int:
        """Return when the evaluation's provider last answered here, in epoch milliseconds; 0 if it never did."""


class Parking:
    """Writes runs to the parked topic and admits them when they are due.

    Args:
        now_ms: epoch milliseconds.
        limit_s: since the first parking, after which a run that fails again is given up.
    """

    def __init__(
        self, topic: str, delays: Delays, *, limit_s: float, now_ms: Callable[[], int], releases: Releases
    ) -> None:
        self.topic = topic
        self._delays = delays
        self._limit_ms = int(limit_s * 1000)
        self._now_ms = now_ms
        self._releases = releases

    def expired(self, task: Task) -> bool:
        """Whether the run was parked for so long that it is to become a dead letter."""
        return task.parked_since_ms > 0 and self._now_ms() - task.parked_since_ms >= self._limit_ms

    def park(self, task: Task, message: Message, *, cause: str, wait_s: float | None, counts: bool) -> Output:
        """Return the record that makes the run wait.

        Args:
            wait_s: at least; the delay of the partition decides.
            counts: whether this was an attempt; waiting in line is none and does not bring the end nearer.
        """
        now_ms = self._now_ms()
        partition = self._delays.partition(task.attempt, wait_s)
        not_before_ms = now_ms + int(self._delays.delay_s(partition) * 1000)
        if counts:
            task = task.parked(now_ms=now_ms, not_before_ms=not_before_ms, cause=cause)
        else:
            task = replace(task, not_before_ms=not_before_ms, parked_cause=cause)
        return Output("task", self.topic, message.key(), message.value(), task.headers(), partition)

    @property
    def has_lanes(self) -> bool:
        """Whether runs can wait in a lane."""
        return bool(self._delays.lanes)

    def is_lane(self, source: TopicAndPartition) -> bool:
        """Whether runs of `source` wait in a lane, rather than for a time."""
        return source[0] == self.topic and source[1] in self._delays.lanes

    def stand_in_line(self, task: Task, message: Message) -> Output:
        """Return the record that makes the run wait for its evaluation's turn. No attempt, and no time of its own."""
        task = replace(task, parked_cause=OVERFLOW)
        lane = self._delays.lane(task.evaluation_id, task.event_uuid)
        return Output("task", self.topic, message.key(), message.value(), task.headers(), lane)

    def admit(self, source: TopicAndPartition, messages: list[Message], control: Control) -> list[Message]:
        """Return the leading messages that are due; the rest is read again when the first of it is."""
        if source[0] != self.topic:
            return messages
        now_ms = self._now_ms()
        delay_ms = int(self._delays.delay_s(source[1]) * 1000)
        for position, message in enumerate(messages):
            task = task_of(message)
            wait_ms = 0.0 if task is None else self._wait_ms(task, now_ms, delay_ms)
            if task is not None and wait_ms > 0:
                since_ms = task.parked_since_ms or message.timestamp()[1]
                control.defer(source, message.offset(), wait_s=wait_ms / 1000, parked_since_ms=since_ms)
                return messages[:position]
        return messages

    def due_ms(self, source: TopicAndPartition, message: Message) -> int:
        """Return when a record could be worked on: a parked run is not late before its time has come."""
        written_ms = message.timestamp()[1]
        task = task_of(message) if source[0] == self.topic else None
        return written_ms if task is None else max(written_ms, task.not_before_ms)

    def _wait_ms(self, task: Task, now_ms: int, delay_ms: int) -> float:
        """Return how long to wait before a run is looked at again; 0 if it is due."""
        wait_ms = min(task.not_before_ms - now_ms, delay_ms)
        if wait_ms <= 0:
            return 0
        parked_ms = task.not_before_ms - delay_ms
        if task.parked_cause == TURNED_AWAY:
            # Whether the provider works again is seen by the next call that it answers, here or in another process.
            works_ms = max(
                self._releases.released_ms(task.evaluation_id), self._releases.answered_ms(task.evaluation_id)
            )
            return 0 if works_ms >= parked_ms else min(wait_ms, _LOOK_SOON_S * 1000)
        released_ms = self._releases.released_ms(task.evaluation_id)
        if released_ms >= parked_ms:
            behind_ms = _BEHIND_MS if task.parked_cause in _REFUSALS else 0
            wait_ms = min(wait_ms, released_ms + behind_ms - now_ms)
        return max(0.0, min(wait_ms, _LOOK_AGAIN_S * 1000))


def task_of(message: Message) -> Task | None:
    """Return the task of a record; None for one that is not a task, which becomes a dead letter where it is run."""
    try:
        return read_task(headers_of(message))
    except TaskError:
        return None
