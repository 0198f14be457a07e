"""Holding senders back while the embedded broker has no room for more events.

librdkafka's in-process broker drops the oldest records of a partition at 5 MiB, read or not. A real broker keeps them
for as long as its retention says, so this is for the embedded one only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Literal, Protocol

import structlog

from processor.events.output import Output

_FULL_BYTES = 1024 * 1024
"""Unread bytes of one partition at which senders wait. The rest of the 5 MiB is for bytes that no reader's lag
shows yet."""
_SLICE_BYTES = 512 * 1024
_SLICES_PER_S = 8.0
"""The lag is seen a fraction of a second late, so no more than this is sent meanwhile."""
_LOOK_EVERY_S = 0.05


class Gauges(Protocol):
    """Where the lag of the readers is found; `processor.metrics.Metrics` is one."""

    def value(self, name: Literal["gavel_consumer_lag", "gavel_partitions_paused"], **labels: str) -> float | None:
        """Return a gauge's value, or None."""


class EventRoom:
    """Says when the next slice of messages may be sent. All readers run in this process.

    Args:
        readers: the roles that read the events topic.
        partitions: how many the topic has.
    """

    def __init__(self, gauges: Gauges, topic: str, readers: Sequence[str], partitions: int) -> None:
        self._gauges = gauges
        self._sources = [(role, topic, str(number)) for role in readers for number in range(partitions)]
        self._readers = tuple(readers)
        self._messages = 0
        self._bytes = 0
        self._next_s = 0.0

    def slices(self, messages: Sequence[Output]) -> Iterator[Sequence[Output]]:
        """Yield the messages in parts that the broker can take at once."""
        start = size = 0
        for index, message in enumerate(messages):
            length = len(message.value or b"")
            if index > start and size + length > _SLICE_BYTES:
                yield messages[start:index]
                start, size = index, 0
            size += length
        yield messages[start:]

    async def wait(self, messages: Sequence[Output], until_s: float) -> bool:
        """Wait until a slice may be sent; return False if there is no room before the monotonic time `until_s`."""
        while self._full() or monotonic() < self._next_s:
            if monotonic() + _LOOK_EVERY_S > until_s:
                structlog.get_logger("gavel.ingest").warning(
                    "embedded_broker_full",
                    problem="events come faster than they are read, and the embedded broker holds 5 MiB per partition",
                    remedy="clients send them again; use a real Kafka for more than a first look",
                )
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        self._next_s = monotonic() + 1 / _SLICES_PER_S
        self._messages += len(messages)
        self._bytes += sum(len(message.value or b"") for message in messages)
        return True

    def _full(self) -> bool:
        if any(self._gauges.value("gavel_partitions_paused", role=role) for role in self._readers):
            return True  # the lag of a paused partition is seen late
        mean = self._bytes / self._messages if self._messages else 0.0
        return any(self._lag(*source) * mean > _FULL_BYTES for source in self._sources)

    def _lag(self, role: str, topic: str, partition: str) -> float:
        lag = self._gauges.value("gavel_consumer_lag", role=role, topic=topic, partition=partition)
        return float(self._messages) if lag is None else lag  # a reader that has not begun may have all of them to read
