"""The work of a role on records, as the stage sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Protocol

from processor.events.message import Message
from processor.events.output import Output, TopicAndPartition
from processor.stream.deadline import Deadline
from processor.stream.ledger import Span


class Control(Protocol):
    """The requests that a worker may make to its stage, from the polling thread only."""

    def defer(
        self, source: TopicAndPartition, offset: int, *, wait_s: float, parked_since_ms: int | None = None
    ) -> None:
        """Give `offset` and all after it back: the partition is paused and read again from there after `wait_s`.

        Args:
            parked_since_ms: since when its record waits on purpose, in epoch milliseconds; such a wait is not a lag.
        """

    def wake(self, source: TopicAndPartition | None = None) -> None:
        """End the `defer` of `source` now; every one if None."""


class Worker(ABC):
    """One role's work. All methods are called by the polling thread, and none may block on a remote service.

    Attributes:
        per_record: whether each record is a span of its own (the judge) or each batch of a partition.
    """

    per_record: bool = False

    def ready(self) -> bool:
        """Whether work can be done. A stage whose worker is not ready does not join its group."""
        return True

    def blocked(self) -> bool:
        """Whether the stage should read no more now. It pauses its partitions meanwhile and stays in the group."""
        return False

    def due_ms(self, source: TopicAndPartition, message: Message) -> int:
        """Return the epoch milliseconds from which a record could be worked on: its lag counts from there."""
        return message.timestamp()[1]

    def admit(self, source: TopicAndPartition, messages: list[Message], control: Control) -> list[Message]:
        """Return the messages to process now; the worker has deferred all others."""
        return messages

    @abstractmethod
    def submit(self, spans: list[Span]) -> None:
        """Accept `spans`. Each comes back from `collect` once, unless it is dropped.

        Raises:
            Exception: anything raised ends the process without a commit; what is wrong with one record
                must become an output (a dead letter), not an exception.
        """

    @abstractmethod
    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        """Return the spans that finished since the last call, each with its outputs. Never blocks."""

    def drain(self, deadline: Deadline) -> None:
        """Finish work in flight, as far as the deadline allows. May block until then."""

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Forget the work in flight of `sources` (all if None); this process or another reads it again."""

    def close(self) -> None:
        """Release what the worker holds."""
