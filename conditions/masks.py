"""Masks: groups of condition sets as whole numbers with one bit for each set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from struct import Struct
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item")
_MOST_WORDS_KEPT = 1024


class Families:
    """Which bits belong together: the sets of an evaluation, one after the other.

    Args:
        owners: of each bit, its evaluation; bits of one evaluation are neighbours.
    """

    def __init__(self, owners: Sequence[int]) -> None:
        longest = max(Counter(owners).values(), default=1)
        # _kin[d - 1]: the bits whose d-th next bit is of the same evaluation
        self._kin = [
            (distance, sum(1 << n for n in range(len(owners) - distance) if owners[n] == owners[n + distance]))
            for distance in range(1, longest)
        ]

    def firsts(self, mask: int) -> int:
        """Return the first bit of each evaluation among those of `mask`."""
        later = 0
        for distance, kin in self._kin:
            later |= (mask & kin) << distance
        return mask & ~later

    def whole(self, mask: int) -> int:
        """Return all bits of the evaluations that have a bit in `mask`."""
        found = mask
        for distance, kin in self._kin:
            found |= (mask & kin) << distance | mask >> distance & kin
        return found


def places(mask: int) -> list[int]:
    """Return the places of the bits that are set, in order."""
    found = []
    while mask:
        lowest = mask & -mask
        found.append(lowest.bit_length() - 1)
        mask ^= lowest
    return found


class Lookup(Generic[_Item]):
    """Turns masks into lists of what their bits stand for.

    It goes by words of 64 bits and remembers what each word it met stands for: few bits of a mask are set,
    so that the same words come again and again.
    """

    def __init__(self, items: Sequence[_Item]) -> None:
        words = -(-len(items) // 64)
        self._size_bytes = words * 8
        self._unpack = Struct(f"<{words}Q").unpack
        self._known = [_Word(items, base) for base in range(0, len(items), 64)]

    def of(self, mask: int) -> list[_Item]:
        """Return the items of the bits that are set, in order."""
        found: list[_Item] = []
        for known, word in zip(self._known, self._unpack(mask.to_bytes(self._size_bytes, "little")), strict=True):
            if word:
                found += known[word]
        return found


class _Word(dict[int, list[Any]]):
    """What values of one word of a mask stand for, worked out when first asked for."""

    def __init__(self, items: Sequence[Any], base: int) -> None:
        super().__init__()
        self._items = items
        self._base = base

    def __missing__(self, word: int) -> list[Any]:
        if len(self) >= _MOST_WORDS_KEPT:
            self.clear()
        found = self[word] = [self._items[self._base + place] for place in places(word)]
        return found
