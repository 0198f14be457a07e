"""The matcher role: reads events in batches and gives what `processor.event_matcher` makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from config.snapshot import Snapshot
from processor.dead_letters import RatioGuard, Reason, dead_letter
from processor.event_matcher import EventMatcher, EventTooLarge, Unreadable
from processor.ledger import Output, Span, TopicAndPartition
from processor.worker import Worker


class Snapshots(Protocol):
    """Where the definitions come from."""

    @property
    def current(self) -> Snapshot | None:
        """The newest definitions, or None before the first load."""


class MatcherWorker(Worker):
    """Matches batches of event messages.

    Args:
        snapshots: definitions; without a first snapshot the role is not ready and consumes nothing.
        events: what happens to an event that matched.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        events: EventMatcher,
        *,
        dead_letters_topic: str,
        max_message_bytes: int,
        guard: RatioGuard,
    ) -> None:
        self._snapshots = snapshots
        self._events = events
        self._dead_letters_topic = dead_letters_topic
        self._max_message_bytes = max_message_bytes
        self._guard = guard
        self._refused = 0
        self._finished: list[tuple[Span, list[Output]]] = []

    def ready(self) -> bool:
        """Whether definitions were ever loaded."""
        return self._snapshots.current is not None

    def submit(self, spans: list[Span]) -> None:
        """Work through all records of `spans` at once."""
        snapshot = self._snapshots.current
        if snapshot is None:
            raise RuntimeError("the matcher was started without definitions")
        for span in spans:
            refused = self._refused
            outputs = self._events.take(span.messages, snapshot, self._dead)
            self._guard.note(len(span.messages), self._refused - refused)
            self._finished.append((span, outputs))
        self._events.flush_counts()

    def _dead(self, message: Any, error: Unreadable) -> Output:
        self._refused += 1
        reason: Reason = "too_large" if isinstance(error, EventTooLarge) else "decode"
        self._events.counts["dead_letter", reason] += 1
        return dead_letter(
            self._dead_letters_topic,
            message,
            stage="matcher",
            reason=reason,
            detail=str(error),
            max_bytes=self._max_message_bytes,
        )

    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        """Return the spans of the last `submit`."""
        finished, self._finished = self._finished, []
        return finished

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Forget what was not collected."""
        if sources is None:
            self._finished.clear()
            return
        gone = set(sources)
        self._finished = [pair for pair in self._finished if pair[0].source not in gone]
