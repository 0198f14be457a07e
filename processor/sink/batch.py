"""Batches of rows for one table, cut by size and by time, made of whole spans."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from hashlib import sha256
from itertools import chain, islice
from zlib import crc32

from processor.events.message import Message
from processor.events.output import Output, TopicAndPartition
from processor.sink.rows import TableFormat
from processor.stream.ledger import Span


@dataclass(slots=True, eq=False)
class Claim:
    """The parts that a span still waits for. It is reported once all of them are stored.

    Attributes:
        parts: how many parts are not stored yet; each goes into another table.
        outputs: dead letters of the span so far.
    """

    span: Span
    parts: int = 0
    outputs: list[Output] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class BatchPart:
    """The part of a batch that one span brings.

    Attributes:
        first_offset, last_offset: of the span.
        blocks, messages: the inserted rows, and the record that each row came from.
        dropped: the span was given back meanwhile; it is not reported.
    """

    claim: Claim
    first_offset: int
    last_offset: int
    blocks: list[bytes] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    dropped: bool = False

    @property
    def span(self) -> Span:
        """The span."""
        return self.claim.span

    def name(self) -> str:
        """Return the place of the part in Kafka, the time of its first record, and a checksum of its rows."""
        topic, partition = self.span.source
        written_ms = self.messages[0].timestamp()[1]
        checksum = reduce(lambda sum_so_far, block: crc32(block, sum_so_far), self.blocks, 0)
        return f"{topic}[{partition}]:{self.first_offset}-{self.last_offset}@{written_ms}#{checksum:08x}"


class RowBatch:
    """Rows that are inserted together.

    A batch that is tried again is the same batch, byte for byte and with the same token: it never gains
    or loses a part once it was closed.
    """

    def __init__(self, table: TableFormat, opened_s: float) -> None:
        self.table = table
        self.opened_s = opened_s
        self.parts: list[BatchPart] = []
        self.rows = 0
        self.size_bytes = 0
        self.abandoned = threading.Event()
        """Set when nobody waits for the batch any more."""

    def add(self, part: BatchPart) -> None:
        """Add a span's part."""
        self.parts.append(part)
        self.rows += len(part.messages)
        self.size_bytes += part.span.size_bytes

    def drop(self, sources: frozenset[TopicAndPartition] | None) -> None:
        """Note that the spans of `sources` (of all if None) were given back."""
        for part in self.parts:
            if sources is None or part.span.source in sources:
                part.dropped = True
        if all(part.dropped for part in self.parts):
            self.abandoned.set()

    def token(self) -> str:
        """Return a text that is the same for the same rows at the same offsets in the same order, in any process.

        Offsets alone do not name rows: those of a recreated topic begin at 0 again, and ClickHouse would take its
        rows for rows that it has, and drop them. The order counts because a range of rows is named by its numbers.
        """
        return sha256("\n".join([self.table.table, *(part.name() for part in self.parts)]).encode()).hexdigest()

    def body(self) -> bytes:
        """All rows, as they are sent, in the order of the parts."""
        return b"".join(chain.from_iterable(part.blocks for part in self.parts))

    def excerpt(self, start: int, end: int) -> bytes:
        """The rows from `start` to before `end`, as they are sent: decoded anew, as only a refused batch needs it."""
        messages = islice(chain.from_iterable(part.messages for part in self.parts), start, end)
        return self.table.encode([self.table.decode(message) for message in messages])

    def locate(self, index: int) -> tuple[BatchPart, Message]:
        """Return the part and the message of the row at `index`, counted through the parts."""
        for part in self.parts:
            if index < len(part.messages):
                return part, part.messages[index]
            index -= len(part.messages)
        raise IndexError(index)


class Batcher:
    """Open batches, one per table.

    Args:
        max_rows, max_bytes: at which a batch is closed. Spans are not cut, so it may be over by one.
        max_age_s: after which it is closed, however small. The first batch of a table that had none for as long is
            closed at once. So a quiet table's row does not wait, and a busy table has one small batch in that time.
    """

    def __init__(self, *, max_rows: int, max_bytes: int, max_age_s: float) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._open: dict[str, RowBatch] = {}
        self._closed_s: dict[str, float] = {}

    def add(self, table: TableFormat, part: BatchPart, now_s: float) -> RowBatch | None:
        """Add a part; return the batch if it is full with it."""
        batch = self._open.get(table.table)
        if batch is None:
            batch = self._open[table.table] = RowBatch(table, now_s)
        batch.add(part)
        if batch.rows >= self._max_rows or batch.size_bytes >= self._max_bytes:
            self._closed_s[table.table] = now_s
            return self._open.pop(table.table)
        return None

    def due(self, now_s: float) -> list[RowBatch]:
        """Close and return the batches that are old enough, or the first of their table for long enough."""
        before_s = now_s - self._max_age_s
        due = [
            batch
            for name, batch in self._open.items()
            if batch.opened_s <= before_s or self._closed_s.get(name, before_s) <= before_s
        ]
        self._closed_s.update((batch.table.table, now_s) for batch in due)
        return self._close(due)

    def flush(self) -> list[RowBatch]:
        """Close and return all batches."""
        return self._close(list(self._open.values()))

    def _close(self, batches: list[RowBatch]) -> list[RowBatch]:
        for batch in batches:
            del self._open[batch.table.table]
        return batches

    def drop(self, sources: Iterable[TopicAndPartition] | None) -> None:
        """Take the parts of `sources` (all if None) out of open batches."""
        if sources is None:
            self._open.clear()
            return
        gone = frozenset(sources)
        for name, batch in list(self._open.items()):
            kept = [part for part in batch.parts if part.span.source not in gone]
            if not kept:
                del self._open[name]
            elif len(kept) < len(batch.parts):
                fresh = self._open[name] = RowBatch(batch.table, batch.opened_s)
                for part in kept:
                    fresh.add(part)
