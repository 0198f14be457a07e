"""Watches the pass rate of an evaluation for a shift, result by result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import msgspec

from quality.shift import BLOCK, Counts, Shift, ShiftDetector
from reports.windows.entry import Entry, WindowVersion

MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class ShiftFound:
    """A shift of a version's pass rate; `minute_s` is the start of the window that completed the evidence."""

    version: WindowVersion
    minute_s: int
    shift: Shift


class ShiftWriter(Protocol):
    """Writes shifts where readers find them. It may block, and may be called again with the same shift."""

    def __call__(self, shifts: Sequence[ShiftFound], /) -> None:
        """Return when they are written; raise if they cannot be."""


class Watch(msgspec.Struct, array_like=True):
    """The state of the test of one version.

    Attributes:
        minute_s: start of the newest minute of the block that is being filled.
    """

    minute_s: int = 0
    passed: int = 0
    decided: int = 0
    baseline: tuple[int, int] = (0, 0)
    moving: tuple[int, int] = (0, 0)
    evidence: tuple[float, ...] = ShiftDetector().evidence
    blocks: int = 0

    def add(self, entry: Entry, version: WindowVersion) -> ShiftFound | None:
        """Add a live result, and return the shift that the block before it completes.

        A block ends with its minute once it has `quality.shift.BLOCK` decided results.
        """
        if not entry.live or entry.verdict not in ("pass", "fail"):
            return None
        minute_s = entry.at_s - entry.at_s % MINUTE_S
        found = None
        if minute_s > self.minute_s:
            found = self._close_block(version)
            self.minute_s = minute_s
        self.decided += 1
        self.passed += entry.verdict == "pass"
        return found

    def _close_block(self, version: WindowVersion) -> ShiftFound | None:
        """Give the block to the test if it is large enough."""
        if self.decided < BLOCK:
            return None
        block = Counts(self.passed, self.decided)
        detector, shift = self._detector().after(block, _draw(version, self.minute_s))
        self.passed = self.decided = 0
        self.baseline = (detector.baseline.passed, detector.baseline.decided)
        self.moving = (detector.moving.passed, detector.moving.decided)
        self.evidence, self.blocks = detector.evidence, detector.blocks
        return None if shift is None else ShiftFound(version, self.minute_s, shift)

    def _detector(self) -> ShiftDetector:
        return ShiftDetector(Counts(*self.baseline), Counts(*self.moving), self.evidence, self.blocks)


def _draw(version: WindowVersion, minute_s: int) -> float:
    """Return a number from 0 to 1 that follows from the window, so that a repetition comes to the same answer."""
    name = f"{version.team_id}/{version.evaluation_id}/{version.fingerprint}/{minute_s}"
    return int.from_bytes(sha256(name.encode()).digest()[:8]) / 2**64
