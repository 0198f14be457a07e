"""The plan of one field: indexes, a memory of values seen, and the tests that are left for later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conditions.compiled.indexes import EqualityIndex, Index, OrderIndex, number_table
from conditions.compiled.predicates import Seen, Test

_LONGEST_KEPT = 256  # characters of a value that is remembered
_SIGHTINGS = 4  # a value seen this often is worth all tests of its field
_MEMORY_BYTES = 16 << 20  # for what all fields of a matcher remember


class FieldPlan:
    """All filters on one field.

    Attributes:
        part: the row's field whose object is looked into, or `row`.
        absent: mask of the sets that may hold if the field is absent.
        tested: mask of the sets with filters on this field that only a test can answer.
        numbers: the `number_table` of the field; None if a filter asks something else of a number.
        truths: masks of the sets that hold for false and for true, all filters considered.
        known: text or number → mask of the sets that hold, all filters considered. Never holds a boolean,
            which Python takes for a number.
        usual: `text`, `number` or `truth`: what the filters are about.
    """

    __slots__ = (
        "_indexes",
        "_present",
        "_sightings",
        "_tests",
        "absent",
        "key",
        "known",
        "limit",
        "numbers",
        "part",
        "tested",
        "truths",
        "usual",
    )

    def __init__(self, part: str, key: str) -> None:
        self.part = part
        self.key = key
        self.absent = -1
        self.tested = 0
        self.limit = 0
        self.numbers: tuple[list[float], list[int]] | None = None
        self.truths = (-1, -1)
        self.usual = "text"
        self.known: dict[str | int | float, int] = {}
        self._sightings: dict[str | int | float, int] = {}
        self._present = -1
        self._indexes: Sequence[Index] = ()
        self._tests: Sequence[tuple[Test, int]] = ()

    def fill(
        self,
        *,
        absent: int,
        present: int,
        indexes: Sequence[Index],
        tests: Sequence[tuple[Test, int]],
        limit: int,
        usual: str,
    ) -> None:
        """Set what the field's filters come to; `tests` pairs each test with the mask of its sets."""
        self.absent = absent
        self._present = present
        self._indexes = indexes
        self._tests = tests
        self.limit = limit
        self.usual = usual
        for _, users in tests:
            self.tested |= users
        by_number = [index for index in indexes if isinstance(index, EqualityIndex | OrderIndex)]
        if not tests and len(by_number) == len(indexes):
            self.numbers = number_table(present, by_number)
        self.truths = (self._tested(False, self._indexed(False)), self._tested(True, self._indexed(True)))

    def decide(self, x: Any) -> int:
        """Return the mask of the sets that may hold for a value that is not in `known`.

        Filters that need a test may be left out of account; they are those of `tested`. A value that comes
        again and again is tested whole and remembered.
        """
        mask = self._indexed(x)
        kind = type(x)
        # Beyond 1e21 a float and the same whole number are one key with two texts.
        if len(x) <= _LONGEST_KEPT if kind is str else (kind is int or kind is float) and -1e21 < x < 1e21:
            self._remember(x, mask)
        return mask

    def _indexed(self, x: Any) -> int:
        mask = self._present
        for index in self._indexes:
            mask &= index.standing(x)
        return mask

    def _tested(self, x: Any, mask: int) -> int:
        """Return the sets of `mask` whose tests `x` passes."""
        seen = Seen(x, None)
        failed = 0
        for test, users in self._tests:
            if not test(seen):
                failed |= users
        return mask & ~failed

    def _remember(self, x: str | int | float, mask: int) -> None:
        if self._tests:
            count = self._sightings.get(x, 0) + 1
            if count < _SIGHTINGS:
                if len(self._sightings) >= self.limit:
                    self._sightings.clear()
                self._sightings[x] = count
                return
            self._sightings.pop(x, None)
            mask = self._tested(x, mask)
        if len(self.known) >= self.limit:
            self.known.clear()
        self.known[x] = mask


def memory_limit(n_fields: int, n_sets: int) -> int:
    """Return how many values a field may remember, so that a matcher stays within its memory."""
    entry_bytes = n_sets // 7 + 200
    return max(16, min(1024, _MEMORY_BYTES // (n_fields * entry_bytes)))
