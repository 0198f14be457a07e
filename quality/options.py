"""Agreement on several categories at once: each side chooses any number of options of an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from quality.agreement import PassFail, pass_fail


@dataclass(frozen=True, slots=True)
class Options:
    """The mean Jaccard index over items, and the agreement on each option alone (chosen or not)."""

    n: int
    jaccard: float
    by_option: Mapping[str, PassFail]


def options(human: Sequence[Set[str]], judge: Sequence[Set[str]]) -> Options | None:
    """Return the agreement on the options that either side chose at least once, or None without items.

    Two empty choices agree: their Jaccard index is 1.
    """
    pairs = list(zip(human, judge, strict=True))
    if not pairs:
        return None
    n = len(pairs)
    mean = sum(jaccard(ours, theirs) for ours, theirs in pairs) / n
    # One pass over the choices: an item counts as chosen by neither side for every option that it does not name.
    both, only_human, only_judge = Counter[str](), Counter[str](), Counter[str]()
    for ours, theirs in pairs:
        both.update(ours & theirs)
        only_human.update(ours - theirs)
        only_judge.update(theirs - ours)
    by_option = {}
    for name in sorted({*both, *only_human, *only_judge}):
        tp, fn, fp = both[name], only_human[name], only_judge[name]
        found = pass_fail(tp, fn, fp, n - tp - fn - fp)
        if found is not None:
            by_option[name] = found
    return Options(n, mean, by_option)


def jaccard(ours: Set[str], theirs: Set[str]) -> float:
    """Return the share of the options named by either side that both name; 1 if neither names any."""
    either = len(ours | theirs)
    return len(ours & theirs) / either if either else 1.0
