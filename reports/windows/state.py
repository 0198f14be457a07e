"""State of one partition of the windows topic: the windows and watches of versions, and the seen ids.

A record of the changelog holds all of one version, and the offset up to which it is complete. A record of the windows
topic that is read again, after a crash or a rebalance, is therefore added exactly where it is missing, in whatever
order the changes reached the changelog.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from reports.windows.entry import EntryBatch
from reports.windows.seen import Chunk, SeenIds
from reports.windows.tally import WindowTally
from reports.windows.watch import ShiftFound, Watch

KEPT_S: Mapping[int, int] = {60: 600, 3_600: 10_800, 86_400: 86_400}
"""Size of a window → seconds for which it is kept after its end. A result that comes later is in ClickHouse alone."""
WATCH_KEPT_S = 30 * 86_400
"""A version without results for so long is forgotten, and its watch with it."""
_FUTURE_S = 3_600
_EXPIRE_EVERY_S = 30

_VERSION, _SEEN = b"v", b"i"
_PARTITION_BYTES = 4

VersionKey = tuple[int, str, int, str]
"""Team, evaluation, number and fingerprint."""
Place = tuple[int, int]
"""A window: its size and its start, in seconds."""


class VersionState(msgspec.Struct, array_like=True):
    """A version's windows and its watch, complete up to the record at `offset`.

    Attributes:
        touched_s: the wall clock when a result came last.
    """

    offset: int = -1
    touched_s: int = 0
    windows: dict[Place, WindowTally] = {}
    watch: Watch = msgspec.field(default_factory=Watch)


_encode = msgspec.msgpack.Encoder().encode
_read_key = msgspec.msgpack.Decoder(VersionKey).decode
_read_version = msgspec.msgpack.Decoder(VersionState).decode
_read_chunk = msgspec.msgpack.Decoder(Chunk).decode


def partition_of(key: bytes) -> int:
    """Return the partition of a record of the changelog."""
    return int.from_bytes(key[:_PARTITION_BYTES])


class PartitionState:
    """The state of one partition, as the changelog's `records` give it.

    Attributes:
        counted: results by verdict since `take_counted`; further keys are `duplicate`, `late` and `future`.
        shifts: found since they were taken.
    """

    def __init__(self, partition: int, records: Iterable[tuple[bytes, bytes]], *, seen_ids: int) -> None:
        self._prefix = partition.to_bytes(_PARTITION_BYTES)
        self.versions: dict[VersionKey, VersionState] = {}
        self._newest: dict[tuple[int, str], int] = {}
        self.counted: Counter[str] = Counter()
        self.shifts: list[ShiftFound] = []
        chunks: list[Chunk] = []
        for key, value in records:
            kind, name = key[_PARTITION_BYTES : _PARTITION_BYTES + 1], key[_PARTITION_BYTES + 1 :]
            if kind == _VERSION:
                self._put(_read_key(name), _read_version(value))
            else:
                chunks.append(_read_chunk(value))
        self.seen = SeenIds(seen_ids, chunks)
        self._changed: set[VersionKey] = set()
        self._expired_s = 0

    def _put(self, key: VersionKey, state: VersionState) -> None:
        self.versions[key] = state
        team_id, evaluation_id, number, _ = key
        evaluation = (team_id, evaluation_id)
        self._newest[evaluation] = max(number, self._newest.get(evaluation, number))

    def windows(self) -> Iterator[tuple[VersionKey, Place, WindowTally]]:
        """Yield all windows."""
        for key, state in self.versions.items():
            for place, tally in state.windows.items():
                yield key, place, tally

    def apply(self, offset: int, batch: EntryBatch, now_s: int) -> None:
        """Count the results of the record at `offset`."""
        version = batch.version
        key = (version.team_id, version.evaluation_id, version.number, version.fingerprint)
        state = self.versions.get(key)
        if state is None:
            state = VersionState()
            self._put(key, state)
        missing = state.offset < offset
        if missing:
            state.offset, state.touched_s = offset, now_s
            self._changed.add(key)
        # Late results of an older version say nothing of now.
        newest = self._newest[version.team_id, version.evaluation_id] == version.number
        here: set[bytes] = set()
        for entry in batch.entries:
            if entry.id in here or not self.seen.is_new(entry.id, offset):
                self.counted["duplicate"] += 1
                continue
            here.add(entry.id)
            if entry.at_s > now_s + _FUTURE_S:
                self.counted["future"] += 1
                continue
            places = _places(entry.at_s, now_s)
            self.counted[entry.verdict if places else "late"] += 1
            if not missing:
                continue
            for place in places:
                state.windows.setdefault(place, WindowTally()).add(entry, version)
            found = state.watch.add(entry, version) if newest else None
            if found is not None:
                self.shifts.append(found)

    def changes(self, now_s: int) -> list[tuple[bytes, bytes | None]]:
        """Return the records that the changelog needs since the last call; None removes one."""
        gone = self._expire(now_s) if now_s - self._expired_s >= _EXPIRE_EVERY_S else []
        changed: list[tuple[bytes, bytes | None]] = [
            (self._key(_VERSION, key), _encode(self.versions[key])) for key in self._changed if key in self.versions
        ]
        changed += (
            (self._key(_SEEN, chunk.number % self.seen.slots), _encode(chunk)) for chunk in self.seen.take_changed()
        )
        changed += ((self._key(_VERSION, key), None) for key in gone)
        self._changed.clear()
        return changed

    def _expire(self, now_s: int) -> list[VersionKey]:
        """Drop old windows, and versions without results for long; return the latter."""
        self._expired_s = now_s
        for state in self.versions.values():
            for place in [each for each in state.windows if not _is_kept(each, now_s)]:
                del state.windows[place]
        gone = [key for key, state in self.versions.items() if state.touched_s + WATCH_KEPT_S <= now_s]
        for key in gone:
            del self.versions[key]
        return gone

    def _key(self, kind: bytes, name: object) -> bytes:
        return self._prefix + kind + _encode(name)

    def take_counted(self) -> Counter[str]:
        """Return the counts since the last call."""
        taken, self.counted = self.counted, Counter()
        return taken

    def take_shifts(self) -> list[ShiftFound]:
        """Return the shifts since the last call."""
        taken, self.shifts = self.shifts, []
        return taken


def _places(at_s: int, now_s: int) -> list[Place]:
    """Return the windows that a result of this time belongs to and that are still kept."""
    places = [(size_s, at_s - at_s % size_s) for size_s in KEPT_S]
    return [place for place in places if _is_kept(place, now_s)]


def _is_kept(place: Place, now_s: int) -> bool:
    size_s, start_s = place
    return start_s + size_s + KEPT_S[size_s] > now_s
