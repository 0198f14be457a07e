"""Results as windows count them, for tests."""

from __future__ import annotations

from collections.abc import Iterable

from reports.windows.entry import Entry, EntryBatch, WindowVersion
from reports.windows.state import PartitionState

NOW_S = 1_780_000_000
VERSION = WindowVersion(1, "0190c0de-0000-7000-8000-000000000001", 3, "f" * 32)


def entry(number: int, *, passed: bool = True, at_s: int = NOW_S, **fields: object) -> Entry:
    return Entry(number.to_bytes(16), at_s, "pass" if passed else "fail", **fields)


def batch(*entries: Entry, version: WindowVersion = VERSION) -> EntryBatch:
    return EntryBatch(version, list(entries))


class Log:
    """A changelog that a crash may cut: the records that were written, in order."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        self.records += changes

    def state(self, partition: int = 0, *, seen_ids: int = 10_000) -> PartitionState:
        newest: dict[bytes, bytes] = {}
        for key, value in self.records:
            if value is None:
                newest.pop(key, None)
            else:
                newest[key] = value
        return PartitionState(partition, newest.items(), seen_ids=seen_ids)


def passes(state: PartitionState, size_s: int = 86_400) -> int:
    return sum(tally.passed for _, place, tally in state.windows() if place[0] == size_s)
