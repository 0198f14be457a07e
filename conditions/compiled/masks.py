"""Masks: groups of condition sets as whole numbers with one bit for each set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item")
_PART_BITS = 1024
_HIGHEST = [0, *(1 << place for place in range(_PART_BITS))]
"""For each bit length, the number of that length whose highest bit is its only bit."""


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
            both = mask & kin
            if both:
                later |= both << distance
        return mask ^ (mask & later)  # & ~later, without a negative number, which is slow

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

    It takes the highest bit off, again and again, which costs less the fewer are left; a wide mask is cut
    into parts first.
    """

    def __init__(self, items: Sequence[_Item]) -> None:
        # The item of a part's highest bit is at the part's bit length.
        self._parts = [(base, (None, *items[base : base + _PART_BITS])) for base in range(0, len(items), _PART_BITS)]
        self._parts.reverse()

    def of(self, mask: int) -> list[_Item]:
        """Return the items of the bits that are set, in order."""
        found: list[Any] = []
        for base, items in self._parts:
            part = mask >> base
            mask ^= part << base
            while part:
                length = part.bit_length()
                found.append(items[length])
                part ^= _HIGHEST[length]
        found.reverse()
        return found
