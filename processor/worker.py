"""What a role does with records, as the stage skeleton sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

from processor.deadline import Deadline
from processor.ledger import Output, Span, TopicAndPartition


class Control(Protocol):
    """What a worker may ask of its stage, from the polling thread only."""

    def defer(self, source: TopicAndPartition, offset: int, *, wait_s: float) -> None:
        """Give `offset` and all after it back: the partition is paused and read again from there after `wait_s`."""

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
        """Whether no more should be taken up now. The stage pauses its partitions meanwhile and stays in the group."""
        return False

    def admit(self, source: TopicAndPartition, messages: list[Any], control: Control) -> list[Any]:
        """Return those of `messages` to take up now; what is left out must have been deferred."""
        return messages

    @abstractmethod
    def submit(self, spans: list[Span]) -> None:
        """Take up `spans`. Each comes back from `collect` once, unless it is dropped.

        Raises:
            Exception: anything raised ends the process without a commit; what is wrong with one record
                must become an output (a dead letter), not an exception.
        """

    @abstractmethod
    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        """Return what has finished since the last call, each span with its outputs. Never blocks."""

    def drain(self, deadline: Deadline) -> None:
        """Finish what is in flight, as far as the deadline allows. May block until then."""

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Forget what is in flight of `sources` (of all if None); it will be read again, by us or another."""

    def close(self) -> None:
        """Release what the worker holds."""
