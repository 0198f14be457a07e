"""The matcher role: reads events in batches and gives what `processor.matcher.event_matcher` makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from conditions import RowError
from processor.dead_letters.letter import RatioGuard, Reason, dead_letter
from processor.events.message import Message
from processor.events.output import Output, TopicAndPartition
from processor.events.row import EventTooLarge
from processor.matcher.event_matcher import Destinations, EventMatcher
from processor.matcher.pushback import TaskRoom
from processor.stream.ledger import Span
from processor.stream.worker import Worker
from storage.snapshot import Snapshot


class SnapshotSource(Protocol):
    """Where the definitions come from."""

    @property
    def current(self) -> Snapshot | None:
        """The newest definitions, or None before the first load."""


class MatcherWorker(Worker):
    """Matches batches of event messages.

    Args:
        snapshots: definitions; without a first snapshot the role is not ready and consumes nothing.
        events: works through the messages.
        room: says when tasks must wait, on the embedded broker; None on a real one.
    """

    def __init__(
        self,
        snapshots: SnapshotSource,
        events: EventMatcher,
        to: Destinations,
        guard: RatioGuard,
        room: TaskRoom | None = None,
    ) -> None:
        self._snapshots = snapshots
        self._events = events
        self._to = to
        self._room = room
        self._guard = guard
        self._refused = 0
        self._finished: list[tuple[Span, list[Output]]] = []

    def ready(self) -> bool:
        """Whether definitions were ever loaded."""
        return self._snapshots.current is not None

    def blocked(self) -> bool:
        """Whether the embedded broker has no room for more tasks; a real one always has."""
        return self._room is not None and self._room.full()

    def submit(self, spans: list[Span]) -> None:
        """Work through all records of `spans` at once."""
        snapshot = self._snapshots.current
        if snapshot is None:
            raise RuntimeError("the matcher was started without definitions")
        self._events.begin_batch()
        for span in spans:
            refused = self._refused
            outputs = self._events.take(span.messages, snapshot, self._dead)
            self._guard.note(len(span.messages), self._refused - refused)
            self._note_tasks(outputs)
            self._finished.append((span, outputs))
        self._events.flush_counts()

    def _note_tasks(self, outputs: list[Output]) -> None:
        if self._room is not None:
            for output in outputs:
                if output.kind == "task":
                    self._room.note(len(output.value or b""))

    def _dead(self, message: Message, error: RowError) -> Output:
        self._refused += 1
        reason: Reason = "too_large" if isinstance(error, EventTooLarge) else "decode"
        self._events.counts["dead_letter", reason] += 1
        return dead_letter(
            self._to.dead_letters,
            message,
            stage="matcher",
            reason=reason,
            detail=str(error),
            max_bytes=self._to.max_message_bytes,
        )

    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        """Return the spans of the last `submit`."""
        finished, self._finished = self._finished, []
        return finished

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Forget uncollected work."""
        if sources is None:
            self._finished.clear()
            return
        gone = set(sources)
        self._finished = [pair for pair in self._finished if pair[0].source not in gone]
