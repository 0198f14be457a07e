"""Batches of rows for one table, cut by size and by time, made of whole spans."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, islice
from typing import Any

from processor.ledger import Output, Span, TopicAndPartition
from processor.sink_rows import TableFormat


@dataclass(slots=True, eq=False)
class Part:
    """What one span brings to a batch.

    Attributes:
        first_offset, last_offset: of the span; with topic and partition they name the batch.
        blocks, messages: what is inserted, and the record that each row came from.
        outputs: dead letters of the span so far.
        dropped: the span was given back meanwhile; it is not reported.
    """

    span: Span
    first_offset: int
    last_offset: int
    blocks: list[bytes] = field(default_factory=list)
    messages: list[Any] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    dropped: bool = False


class Batch:
    """Rows that are inserted together.

    A batch that is tried again is the same batch, byte for byte and with the same token: it never takes up
    more, and never loses a part, once it was closed.
    """

    def __init__(self, table: TableFormat, opened_s: float) -> None:
        self.table = table
        self.opened_s = opened_s
        self.parts: list[Part] = []
        self.rows = 0
        self.size_bytes = 0
        self.abandoned = threading.Event()
        """Set when nobody waits for the batch any more."""

    def add(self, part: Part) -> None:
        """Take up a span's part."""
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

    @property
    def token(self) -> str:
        """The same for the same offsets of the same partitions, in any process."""
        ranges = sorted(f"{p.span.source[0]}[{p.span.source[1]}]:{p.first_offset}-{p.last_offset}" for p in self.parts)
        return sha256("\n".join([self.table.table, *ranges]).encode()).hexdigest()

    def body(self) -> bytes:
        """All rows, as they are sent, in the order of the parts."""
        return b"".join(chain.from_iterable(part.blocks for part in self.parts))

    def excerpt(self, start: int, end: int) -> bytes:
        """The rows from `start` to before `end`, as they are sent: decoded anew, as only a refused batch needs it."""
        messages = islice(chain.from_iterable(part.messages for part in self.parts), start, end)
        return self.table.encode([self.table.decode(message) for message in messages])

    def locate(self, index: int) -> tuple[Part, Any]:
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
        max_age_s: after which it is closed, however small.
    """

    def __init__(self, *, max_rows: int, max_bytes: int, max_age_s: float) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._open: dict[str, Batch] = {}

    def add(self, table: TableFormat, part: Part, now_s: float) -> Batch | None:
        """Add a part; return the batch if it is full with it."""
        batch = self._open.get(table.table)
        if batch is None:
            batch = self._open[table.table] = Batch(table, now_s)
        batch.add(part)
        if batch.rows >= self._max_rows or batch.size_bytes >= self._max_bytes:
            return self._open.pop(table.table)
        return None

    def due(self, now_s: float) -> list[Batch]:
        """Close and return the batches that are old enough."""
        return self._close([batch for batch in self._open.values() if now_s - batch.opened_s >= self._max_age_s])

    def flush(self) -> list[Batch]:
        """Close and return all batches."""
        return self._close(list(self._open.values()))

    def _close(self, batches: list[Batch]) -> list[Batch]:
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
                fresh = self._open[name] = Batch(batch.table, batch.opened_s)
                for part in kept:
                    fresh.add(part)
