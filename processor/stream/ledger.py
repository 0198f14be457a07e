"""The offset ledger: work in flight, finished work, and the offset that a commit may reach.

Work is accepted in *spans*, runs of records of one partition that are finished together: a batch for the
matcher and the sink, one record for the judge. Spans end in any order; only the contiguous run of ended
spans at the front may be committed, and its outputs leave in offset order. Everything beyond waits.

Laws (held by a hypothesis state machine): the frontier never passes an unfinished span, never goes
back, every span's outputs are released exactly once, and a span of an earlier assignment releases
nothing. One frontier is on its way at a time, and its records count as in hand until it is settled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from processor.events.message import Message
from processor.events.output import Output, TopicAndPartition


@dataclass(slots=True, eq=False)
class Span:
    """Records of one partition that are finished together.

    Attributes:
        source: topic and partition.
        messages: the records, in offset order; dropped when the span ends.
        next_offset: the offset after the last record, gaps included.
        size_bytes: of all values, for the bound on bytes in flight.
        opened_s: monotonic seconds, for the stall watchdog.
        due_ms: epoch milliseconds from which the first record could be worked on, for the lag in seconds.
        outputs: the outputs of the work; set by `Ledger.end`.
    """

    source: TopicAndPartition
    messages: list[Message]
    next_offset: int
    size_bytes: int
    assignment: int
    opened_s: float
    count: int
    due_ms: int = 0
    outputs: list[Output] = field(default_factory=list)
    ended: bool = False


class LedgerError(RuntimeError):
    """A broken rule of the ledger: a defect of ours, never of the input."""


class Frontier(NamedTuple):
    """The committable work: outputs in offset order, and the next offset per partition."""

    outputs: list[Output]
    offsets: dict[TopicAndPartition, int]
    records: int


class Ledger:
    """In-flight spans of all partitions that are assigned now.

    Attributes:
        records_in_flight, bytes_in_flight: sums over the spans that were opened and not released.
        records_ended, bytes_ended: those of them whose work is done.
        records_leaving, bytes_leaving: released and not settled.

    Not thread-safe: it belongs to the thread that polls.
    """

    def __init__(self) -> None:
        self._assignments = 0
        self._open: dict[TopicAndPartition, deque[Span]] = {}
        self._current: dict[TopicAndPartition, int] = {}
        self._frontier: dict[TopicAndPartition, int] = {}
        self.records_in_flight = 0
        self.bytes_in_flight = 0
        self.records_ended = 0
        self.bytes_ended = 0
        self.records_leaving = 0
        self.bytes_leaving = 0

    def assign(self, sources: Iterable[TopicAndPartition]) -> None:
        """Begin a new assignment of `sources`: whatever was in flight of them before is forgotten."""
        self._assignments += 1
        for source in sources:
            self._forget(source)
            self._open[source] = deque()
            self._current[source] = self._assignments
            self._frontier.pop(source, None)

    def revoke(self, sources: Iterable[TopicAndPartition]) -> None:
        """End the assignment of `sources`. Spans that end later are discarded."""
        for source in sources:
            self._forget(source)
            self._open.pop(source, None)
            self._current.pop(source, None)
            self._frontier.pop(source, None)

    def _forget(self, source: TopicAndPartition) -> None:
        self._let_go(self._open.get(source, ()))

    def _let_go(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self.records_in_flight -= span.count
            self.bytes_in_flight -= span.size_bytes
            if span.ended:
                self.records_ended -= span.count
                self.bytes_ended -= span.size_bytes

    @property
    def sources(self) -> tuple[TopicAndPartition, ...]:
        """The partitions that are assigned now."""
        return tuple(self._current)

    def floor(self, source: TopicAndPartition) -> int:
        """Return the lowest offset that may be read next. It is the one after every offset that was read before."""
        spans = self._open.get(source)
        return spans[-1].next_offset if spans else self._frontier.get(source, 0)

    def open(
        self, source: TopicAndPartition, messages: list[Message], *, size_bytes: int, now_s: float, due_ms: int = 0
    ) -> Span:
        """Accept `messages`, whose offsets ascend, of `source` as one span.

        Raises:
            LedgerError: the partition is not assigned, there is no message, or offsets go back.
        """
        assignment = self._current.get(source)
        if assignment is None:
            raise LedgerError(f"{source} is not assigned; its records must not be accepted")
        if not messages:
            raise LedgerError(f"a span of {source} needs at least one record")
        first, last = messages[0].offset(), messages[-1].offset()
        spans = self._open[source]
        floor = self.floor(source)
        if first < floor or last < first:
            raise LedgerError(f"{source}: offsets {first}..{last} go back behind {floor}")
        span = Span(source, messages, last + 1, size_bytes, assignment, now_s, len(messages), due_ms)
        spans.append(span)
        self.records_in_flight += span.count
        self.bytes_in_flight += size_bytes
        return span

    def end(self, span: Span, outputs: list[Output]) -> bool:
        """Note that `span` is finished, with its outputs.

        Returns:
            False if the span belongs to an earlier assignment and was discarded.

        Raises:
            LedgerError: it had ended before.
        """
        if span.ended:
            raise LedgerError(f"{span.source}: the span before offset {span.next_offset} ended twice")
        span.ended = True
        span.messages = []
        if self._current.get(span.source) != span.assignment:
            return False
        span.outputs = outputs
        self.records_ended += span.count
        self.bytes_ended += span.size_bytes
        return True

    def advance(self) -> Frontier:
        """Release the contiguous ended spans of every partition. The returned spans are not held any more.

        Their records count as leaving, not as in flight, until `settle`. No record is ever in neither count, so that
        other threads can add the two.

        Raises:
            LedgerError: the previous release is not settled.
        """
        if self.records_leaving:
            raise LedgerError("the frontier that was released before is not settled")
        released: list[Span] = []
        offsets: dict[TopicAndPartition, int] = {}
        for source, spans in self._open.items():
            while spans and spans[0].ended:
                span = spans.popleft()
                released.append(span)
                offsets[source] = span.next_offset
        records, size_bytes = sum(span.count for span in released), sum(span.size_bytes for span in released)
        self.records_leaving, self.bytes_leaving = records, size_bytes
        self._let_go(released)
        self._frontier.update(offsets)
        return Frontier([output for span in released for output in span.outputs], offsets, records)

    def settle(self) -> None:
        """Note that what `advance` released is durable, or was given up."""
        self.records_leaving = self.bytes_leaving = 0

    def due_ms(self) -> dict[TopicAndPartition, int]:
        """Return when the record that is committed next was due, of every partition that has records in flight."""
        return {source: spans[0].due_ms for source, spans in self._open.items() if spans}

    def oldest(self) -> Span | None:
        """Return the unfinished span that has been open the longest, for the stall watchdog."""
        heads = [spans[0] for spans in self._open.values() if spans]
        return min(heads, key=lambda span: span.opened_s, default=None)
