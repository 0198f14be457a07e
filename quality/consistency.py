"""How often a judge contradicts itself on the same item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt

LEAST_STEADY = 5


@dataclass(frozen=True, slots=True)
class Consistency:
    """Flip rates of items that were judged several times.

    `items` holds None for an item with fewer than two verdicts; such an item enters no other figure. `se` is the
    standard error over items, None with one item only.
    """

    items: tuple[float | None, ...]
    flip_rate: float
    se: float | None
    unanimous: float
    """The share of items whose verdicts are all equal."""
    least_steady: tuple[int, ...]
    """The positions of the items that flip most, at most five, the worst first."""


def flip_rate(verdicts: Sequence[Hashable]) -> float | None:
    """Return the chance that two verdicts on the item differ, or None with fewer than two."""
    k = len(verdicts)
    if k < 2:
        return None
    return 1 - sum(count * (count - 1) for count in Counter(verdicts).values()) / (k * (k - 1))


def consistency(runs: Sequence[Sequence[Hashable]]) -> Consistency | None:
    """Return the self-consistency over items, or None if no item has two verdicts.

    Args:
        runs: the verdicts of each item.
    """
    items = tuple(map(flip_rate, runs))
    known = {at: found for at, found in enumerate(items) if found is not None}
    if not known:
        return None
    average = sum(known.values()) / len(known)
    spread = sum((found - average) ** 2 for found in known.values())
    worst = sorted((at for at in known if known[at] > 0), key=lambda at: (-known[at], at))
    return Consistency(
        items=items,
        flip_rate=average,
        se=sqrt(spread / (len(known) - 1) / len(known)) if len(known) > 1 else None,
        unanimous=sum(found == 0 for found in known.values()) / len(known),
        least_steady=tuple(worst[:LEAST_STEADY]),
    )
