"""Pausing and resuming partitions, each for as long as any reason holds."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from confluent_kafka import Consumer, TopicPartition

from processor.events.output import TopicAndPartition

DEFERRED = "deferred"


class Flow:
    """Which assigned partitions are paused, and why.

    A partition is never left unpolled: a stage that wants no more records pauses and goes on polling, so
    that the group keeps it.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._reasons: dict[TopicAndPartition, set[str]] = {}
        self._wakeups: list[tuple[float, TopicAndPartition]] = []
        self._new: set[TopicAndPartition] = set()

    def assign(self, sources: Iterable[TopicAndPartition]) -> None:
        """Note new partitions; none of them is to be paused, which `settle` sees to."""
        for source in sources:
            self._reasons[source] = set()
            self._new.add(source)

    def settle(self) -> None:
        """Resume partitions that were assigned since the last call, unless there is a reason against it.

        librdkafka remembers over assignments that a partition was paused: one that was deferred when it was
        lost would never be read again when it came back. Called when the assignment is in force.
        """
        if self._new:
            fresh = [TopicPartition(*source) for source in self._new if self._reasons.get(source) == set()]
            self._new.clear()
            if fresh:
                self._consumer.resume(fresh)

    def revoke(self, sources: Iterable[TopicAndPartition]) -> None:
        """Forget partitions and their reasons to wait."""
        for source in sources:
            self._reasons.pop(source, None)
            self._new.discard(source)

    @property
    def paused_sources(self) -> list[TopicAndPartition]:
        """The partitions that are paused now."""
        return [source for source, reasons in self._reasons.items() if reasons]

    @property
    def deferred_sources(self) -> list[TopicAndPartition]:
        """The partitions whose next record was given back for later."""
        return [source for source, reasons in self._reasons.items() if DEFERRED in reasons]

    def pause(self, reason: str, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Pause `sources` (all if None) for `reason`."""
        fresh: list[TopicPartition] = []
        for source in list(self._reasons) if sources is None else sources:
            reasons = self._reasons.get(source)
            if reasons is None:
                continue
            if not reasons:
                fresh.append(TopicPartition(*source))
            reasons.add(reason)
        if fresh:
            self._consumer.pause(fresh)

    def resume(self, reason: str, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Take `reason` away; a partition that has none left is resumed."""
        fresh: list[TopicPartition] = []
        for source in list(self._reasons) if sources is None else sources:
            reasons = self._reasons.get(source)
            if not reasons or reason not in reasons:
                continue
            reasons.discard(reason)
            if not reasons:
                fresh.append(TopicPartition(*source))
        if fresh:
            self._consumer.resume(fresh)

    def defer(self, source: TopicAndPartition, until_s: float) -> None:
        """Pause `source` until the monotonic time `until_s`."""
        self.pause(DEFERRED, [source])
        heapq.heappush(self._wakeups, (until_s, source))

    def wake(self, now_s: float) -> None:
        """Resume every deferred partition whose time has come. Costs nothing while none has."""
        while self._wakeups and self._wakeups[0][0] <= now_s:
            _, source = heapq.heappop(self._wakeups)
            self.resume(DEFERRED, [source])

    def wake_one(self, source: TopicAndPartition) -> None:
        """Resume `source` now if it is deferred. The rest of its time can only end a later deferral early."""
        self.resume(DEFERRED, [source])

    def wake_all(self) -> None:
        """Resume every deferred partition now."""
        self._wakeups.clear()
        self.resume(DEFERRED)
