"""Holding the matcher back while the embedded broker has no room for more tasks.

librdkafka's in-process broker drops the oldest records of a partition at 5 MiB, read or not. A real broker keeps them
for as long as its retention says, so this is for the embedded one only.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from processor.metrics import Metrics

_FULL_BYTES = 1024 * 1024
"""Bytes that wait in one partition at which the matcher pauses. The rest of the 5 MiB is for the work in flight, and
for tasks that the judge moves between topics meanwhile."""


class TaskRoom:
    """Says from the judge role's lag whether the task topics have room. All roles run in one process here.

    Args:
        topics: the topics that hold tasks.
        partitions: how many each of them has.
    """

    def __init__(self, metrics: Metrics, topics: Sequence[str], partitions: int) -> None:
        self._metrics = metrics
        self._sources = [(topic, str(number)) for topic in topics for number in range(partitions)]
        self._tasks = 0
        self._bytes = 0
        self._full = False

    def note(self, size_bytes: int) -> None:
        """Note a task that was made, for the mean size of those that wait."""
        self._tasks += 1
        self._bytes += size_bytes

    def full(self) -> bool:
        """Return whether a partition holds as much as may wait in it."""
        mean = self._bytes / self._tasks if self._tasks else 0.0
        full = any(self._lag(*source) * mean > _FULL_BYTES for source in self._sources) if mean else False
        if full and not self._full:
            structlog.get_logger("gavel.matcher").warning(
                "embedded_broker_full",
                problem="judges are slower than events come, and the embedded broker holds 5 MiB per partition",
                remedy="the matcher waits for the judges; use a real Kafka for more than a first look",
            )
        self._full = full
        return full

    def _lag(self, topic: str, partition: str) -> float:
        behind = self._metrics.value("gavel_consumer_lag", role="judge", topic=topic, partition=partition) or 0.0
        return behind + (self._metrics.value("gavel_parked_records", topic=topic, partition=partition) or 0.0)
