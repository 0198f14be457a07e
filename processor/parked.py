"""Runs that wait for a provider to work again: the parked topic and when what is on it is due.

Each partition of the parked topic holds one delay. So what is written to a partition is due in the order in which
it stands there: only the first record has to be looked at, the partition is paused until that one is due, and
ten thousand parked runs cost one timer. A run whose provider fails again moves on to a longer delay.

Partitions that no delay needs are *lanes*: there runs stand in line whose evaluation has more of them than its turn
allows (`processor.judge_turns`), without a time before which they may not run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isqrt
from typing import Any, Protocol
from zlib import crc32

from processor.events.task import Task, TaskError, read_task
from processor.ledger import Output, TopicAndPartition
from processor.worker import Control

_LOOK_AGAIN_S = 60.0
"""No partition is left alone for longer, so that a clock that was set back does no harm."""


OVERFLOW = "overflow"
"""Cause of a run that stands in line because its evaluation has more than its turn."""


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

    def lane(self, evaluation_id: str, event_uuid: str) -> int:
        """Return the lane of a run: some lanes for each evaluation, one of them for each event.

        Several for one evaluation, so that several processes work off what waits of it; not all, so that what
        waits of another does not stand behind it.
        """
        groups = isqrt(len(self.lanes))
        width = len(self.lanes) // groups
        first = crc32(evaluation_id.encode()) % groups * width
        return self.lanes[first + crc32(event_uuid.encode()) % width]

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


class Releases(Protocol):
    """What may run before its time because its cause is gone."""

    def released_ms(self, evaluation_id: str) -> int:
        """Return when the evaluation's obstacle went away, in epoch milliseconds; 0 if it never did."""


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

    def park(self, task: Task, message: Any, *, cause: str, wait_s: float | None, counts: bool) -> Output:
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
        return Output(self.topic, message.key(), message.value(), task.headers(), partition)

    @property
    def has_lanes(self) -> bool:
        """Whether runs can stand in line."""
        return bool(self._delays.lanes)

    def is_lane(self, source: TopicAndPartition) -> bool:
        """Whether runs of `source` stand in line, rather than wait for a time."""
        return source[0] == self.topic and source[1] in self._delays.lanes

    def stand_in_line(self, task: Task, message: Any) -> Output:
        """Return the record that makes the run wait for its evaluation's turn. No attempt, and no time of its own."""
        task = replace(task, parked_cause=OVERFLOW)
        lane = self._delays.lane(task.evaluation_id, task.event_uuid)
        return Output(self.topic, message.key(), message.value(), task.headers(), lane)

    def admit(self, source: TopicAndPartition, messages: list[Any], control: Control) -> list[Any]:
        """Return the leading messages that are due; the rest is read again when the first of it is."""
        if source[0] != self.topic:
            return messages
        now_ms = self._now_ms()
        delay_ms = int(self._delays.delay_s(source[1]) * 1000)
        for position, message in enumerate(messages):
            wait_ms = self._wait_ms(message, now_ms, delay_ms)
            if wait_ms > 0:
                control.defer(source, message.offset(), wait_s=min(wait_ms / 1000, _LOOK_AGAIN_S))
                return messages[:position]
        return messages

    def _wait_ms(self, message: Any, now_ms: int, delay_ms: int) -> int:
        try:
            task = read_task(message.headers())
        except TaskError:
            return 0  # it is found out again where it becomes a dead letter
        wait_ms = min(task.not_before_ms - now_ms, delay_ms)
        if wait_ms <= 0:
            return 0
        parked_ms = task.not_before_ms - delay_ms
        return 0 if self._releases.released_ms(task.evaluation_id) >= parked_ms else wait_ms
