"""Parts of the pairs in which a judge may agree less with people than in the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quality.comparison import holm
from quality.extra import needs_extra
from quality.intervals import Estimate, rate
from quality.minimums import SLICE_PAIRS
from quality.weighted import Design, StratumCounts, cells, difference_p, rate_within

_Measure = Callable[[str], tuple[Estimate | None, float | None]]
"""Name → the accuracy of a slice, and the p of its test against all other pairs."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The accuracy of one slice.

    Attributes:
        p: of a test against all other pairs (Fisher's exact one without weights), adjusted by Holm for the number of
            slices shown. None if there are no other pairs.
    """

    name: str
    n: int
    accuracy: Estimate
    p: float | None


def slices(names: Sequence[str], agreed: Sequence[bool], design: Design | None = None) -> list[Slice]:
    """Return the slices with enough pairs, largest first.

    Args:
        names, agreed: the slice of each pair, and whether its two sides agree.
        design: how the pairs were drawn, where some had a greater probability than others. The accuracy is weighted
            then, and `p` is that of `difference_p`.

    Raises:
        ExtraMissing: scipy is not installed.
    """
    pairs = Counter(names)
    shown = sorted((name for name, n in pairs.items() if n >= SLICE_PAIRS), key=lambda name: (-pairs[name], name))
    measure = _plain(names, agreed) if design is None else _weighted(names, agreed, design)
    found = {name: measure(name) for name in shown}
    raw = {name: p for name, (_, p) in found.items() if p is not None}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    return [
        Slice(name, pairs[name], accuracy, adjusted.get(name))
        for name, (accuracy, _) in found.items()
        if accuracy is not None
    ]


def _plain(names: Sequence[str], agreed: Sequence[bool]) -> _Measure:
    pairs, agreeing = Counter(names), Counter(name for name, each in zip(names, agreed, strict=True) if each)

    def measure(name: str) -> tuple[Estimate | None, float | None]:
        n, own = pairs[name], agreeing[name]
        others, others_agreed = len(names) - n, agreeing.total() - own
        p = _fisher([[own, n - own], [others_agreed, others - others_agreed]]) if others else None
        return rate(own, n), p

    return measure


def _weighted(names: Sequence[str], agreed: Sequence[bool], design: Design) -> _Measure:
    # One pass over the pairs, because there can be a slice for every twenty of them.
    parts = [
        (
            cell,
            Counter(names[at] for at in part),
            Counter(names[at] for at in part if agreed[at]),
        )
        for cell, part in zip(cells(design, agreed), design.parts(), strict=True)
    ]

    def measure(name: str) -> tuple[Estimate | None, float | None]:
        own = [StratumCounts(cell.share, cell.n, n[name], yes[name]) for cell, n, yes in parts]
        others = [
            StratumCounts(cell.share, cell.n, cell.n - n[name], cell.successes - yes[name]) for cell, n, yes in parts
        ]
        return rate_within(own), difference_p(own, others)

    return measure


def _fisher(table: list[list[int]]) -> float:
    with needs_extra():
        from scipy.stats import fisher_exact
    return float(fisher_exact(table).pvalue)
