"""The result ids that a partition counted, so that a result that is written again is not counted again.

The store is a ring: it holds the newest `limit` ids, rounded up to a chunk, and forgets the oldest. A result that comes
again after `limit` others of its partition is counted twice if its windows are still kept; ClickHouse, which readers
ask, never does. A chunk is one record of the changelog.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

CHUNK = 1_000
"""Ids of one chunk."""
_ID_BYTES = 16


class Chunk(msgspec.Struct, array_like=True):
    """Part of the ring as the changelog keeps it.

    Attributes:
        number: of the chunk since the beginning; its slot is `number` modulo the slots of the ring.
        offsets, counts: records of the windows topic, and how many of the ids each of them brought.
        ids: 16 bytes each.
    """

    number: int
    offsets: list[int] = []
    counts: list[int] = []
    ids: bytes = b""

    @property
    def full(self) -> bool:
        """Whether the next id begins another chunk."""
        return len(self.ids) >= CHUNK * _ID_BYTES


class SeenIds:
    """The ids of one partition, each with the offset of the record that brought it first.

    Args:
        limit: ids to be kept.
        chunks: as the changelog has them, in any order.
    """

    def __init__(self, limit: int, chunks: Iterable[Chunk] = ()) -> None:
        self.slots = max(2, -(-limit // CHUNK) + 1)
        self._offsets: dict[bytes, int] = {}
        self._chunks: dict[int, Chunk] = {}
        self._changed: set[int] = set()
        newest = sorted(chunks, key=lambda chunk: chunk.number)[-self.slots :]
        for chunk in newest:
            self._chunks[chunk.number] = chunk
            place = 0
            for offset, count in zip(chunk.offsets, chunk.counts, strict=True):
                for _ in range(count):
                    self._offsets.setdefault(chunk.ids[place : place + _ID_BYTES], offset)
                    place += _ID_BYTES
        self._open = newest[-1] if newest else self._begin(0)

    def __len__(self) -> int:
        return len(self._offsets)

    def is_new(self, identity: bytes, offset: int) -> bool:
        """Return whether the record at `offset` is the first that brought this id, and remember it.

        A record that is read again, after a crash or a rebalance, is the first one again.
        """
        first = self._offsets.get(identity)
        if first is not None:
            return first == offset
        if self._open.full:
            self._open = self._begin(self._open.number + 1)
        chunk = self._open
        if chunk.offsets and chunk.offsets[-1] == offset:
            chunk.counts[-1] += 1
        else:
            chunk.offsets.append(offset)
            chunk.counts.append(1)
        chunk.ids += identity
        self._changed.add(chunk.number)
        self._offsets[identity] = offset
        return True

    def take_changed(self) -> list[Chunk]:
        """Return the chunks that took ids since the last call."""
        changed = [self._chunks[number] for number in sorted(self._changed) if number in self._chunks]
        self._changed.clear()
        return changed

    def _begin(self, number: int) -> Chunk:
        forgotten = self._chunks.pop(number - self.slots, None)
        if forgotten is not None:
            for place in range(0, len(forgotten.ids), _ID_BYTES):
                self._offsets.pop(forgotten.ids[place : place + _ID_BYTES], None)
        chunk = self._chunks[number] = Chunk(number)
        return chunk
