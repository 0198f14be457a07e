"""Numbers of clusters that stay the same from run to run."""

from __future__ import annotations

from collections.abc import Collection, Mapping

LEAST_OVERLAP = 0.3
"""Two clusters are the same if they share this part of the items that either of them has and both runs sampled."""


def stable_numbers(
    before: Mapping[int, Collection[str]], now: Mapping[int, Collection[str]], next_number: int
) -> tuple[dict[int, int], int]:
    """Return the stable number of each cluster of `now`, and the next unused number.

    The pairs of clusters with the most in common are matched first. Only items that both runs sampled are compared,
    because the others say nothing. A cluster without a match gets a new number, which no cluster of the job ever had.

    Args:
        before: item ids by stable number, of the run before.
        now: item ids by any number.
        next_number: the smallest number that no run has used.
    """
    both = set().union(*before.values()) & set().union(*now.values()) if before and now else set()
    old = {number: set(items) & both for number, items in before.items()}
    new = {number: set(items) & both for number, items in now.items()}
    pairs = sorted(
        (
            (len(mine & theirs) / len(mine | theirs), len(mine & theirs), -number, place)
            for number, mine in old.items()
            for place, theirs in new.items()
            if mine & theirs
        ),
        reverse=True,
    )
    numbers: dict[int, int] = {}
    taken: set[int] = set()
    for overlap, _, minus_number, place in pairs:
        if overlap < LEAST_OVERLAP or place in numbers or -minus_number in taken:
            continue
        numbers[place] = -minus_number
        taken.add(-minus_number)
    for place in sorted(now, key=lambda each: (-len(now[each]), each)):
        if place not in numbers:
            numbers[place] = next_number
            next_number += 1
    return numbers, next_number
