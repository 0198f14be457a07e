"""The consensus of several people on one item, and how far people agree with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median

from quality.alpha import Metric, alpha
from quality.intervals import Estimate, rate

UNCLEAR_SHARE = 0.2
"""Above this share of items that are unsure or unresolved, the criteria are unclear."""


class NoVote(Enum):
    """An answer that does not vote: the labeller could not decide."""

    UNSURE = "unsure"


Verdict = bool | float | frozenset[str] | None
"""A boolean, a score, or the keys of the chosen options. None: not applicable."""
Vote = Verdict | NoVote


def vote_of(label: Mapping[str, object]) -> Vote:
    """Return the vote of a stored label: `{applicable, result | score | categories}` or `{unsure: true}`."""
    if label.get("unsure"):
        return NoVote.UNSURE
    if not label.get("applicable", True):
        return None
    result, score, chosen = label.get("result"), label.get("score"), label.get("categories")
    if isinstance(result, bool):
        return result
    if isinstance(score, int | float):
        return float(score)
    return frozenset(map(str, chosen)) if isinstance(chosen, list | tuple) else None


def label_of(verdict: Verdict) -> dict[str, object]:
    """Return a verdict in the form of a stored label; `vote_of` reads it back."""
    if verdict is None:
        return {"applicable": False}
    if isinstance(verdict, bool):
        return {"applicable": True, "result": verdict}
    if isinstance(verdict, frozenset):
        return {"applicable": True, "categories": sorted(verdict)}
    return {"applicable": True, "score": verdict}


@dataclass(frozen=True, slots=True)
class Consensus:
    """The verdict that the current labels of one item give.

    Attributes:
        resolved: whether there is one. Without it `verdict` says nothing, and the item enters no estimate.
        votes: labels that are not `unsure`.
        unsure: labels that are.
    """

    verdict: Verdict
    resolved: bool
    votes: int
    unsure: int


def consensus(votes: Sequence[Vote], decided: Vote = NoVote.UNSURE) -> Consensus:
    """Return the consensus of one label per labeller.

    The class with the most votes wins, where N/A is a class. Scores have their median, and several options are each
    kept that more than half of the labellers chose. A tie is unresolved.

    Args:
        decided: the vote of the person who adjudicates. It wins unless it is `unsure`.
    """
    cast = [vote for vote in votes if not isinstance(vote, NoVote)]
    unsure = len(votes) - len(cast)
    if not isinstance(decided, NoVote):
        return Consensus(decided, True, len(cast), unsure)
    resolved, verdict = _majority(cast)
    return Consensus(verdict, resolved, len(cast), unsure)


def _majority(cast: Sequence[Verdict]) -> tuple[bool, Verdict]:
    if len(cast) == 1 and not isinstance(cast[0], frozenset):
        return True, cast[0]  # most items have one label, and the counting below takes ten times as long
    applicable = [vote for vote in cast if vote is not None]
    absent = len(cast) - len(applicable)
    if not cast or absent == len(applicable):
        return False, None
    if absent > len(applicable):
        return True, None
    scores = [vote for vote in applicable if isinstance(vote, float)]
    if scores:
        return True, float(median(scores))
    chosen = [vote for vote in applicable if isinstance(vote, frozenset)]
    if any(len(vote) > 1 for vote in chosen):
        return _options(chosen)
    ranked = Counter(applicable).most_common(2)
    # N/A competes with each class alone: it was outnumbered above, but may still tie with the leading class.
    lead = ranked[0][1]
    tied = absent >= lead or (len(ranked) > 1 and ranked[1][1] == lead)
    return not tied, None if tied else ranked[0][0]


def _options(chosen: Sequence[frozenset[str]]) -> tuple[bool, Verdict]:
    counts = Counter(option for vote in chosen for option in vote)
    kept = frozenset(option for option, votes in counts.items() if votes * 2 > len(chosen))
    return bool(kept), kept or None


@dataclass(frozen=True, slots=True)
class Labeller:
    """One person against the consensus of the others, over the items that both have decided."""

    name: str
    items: int
    agreement: Estimate | None


@dataclass(frozen=True, slots=True)
class BetweenLabellers:
    """How far people agree.

    Attributes:
        items: with at least two votes.
        alpha: Krippendorff's; None where it is not defined, as without variation.
    """

    items: int
    alpha: float | None
    labellers: tuple[Labeller, ...]


def between_labellers(items: Sequence[Mapping[str, Vote]]) -> BetweenLabellers:
    """Return the agreement between labellers.

    Args:
        items: labeller → vote, for each item.
    """
    several = []
    for item in items:
        votes = {name: vote for name, vote in item.items() if not isinstance(vote, NoVote)}
        if len(votes) > 1:
            several.append(votes)
    scored = any(isinstance(vote, float) for votes in several for vote in votes.values())
    metric: Metric = "interval" if scored else "nominal"
    rated: list[list[Hashable]] = [
        [vote for vote in votes.values() if not scored or isinstance(vote, float)] for votes in several
    ]
    names = sorted({name for votes in several for name in votes})
    found = alpha(rated, metric) if any(len(ratings) > 1 for ratings in rated) else None
    return BetweenLabellers(len(several), found, tuple(_labeller(name, several) for name in names))


def _labeller(name: str, several: Sequence[Mapping[str, Verdict]]) -> Labeller:
    compared = agreed = 0
    for votes in several:
        if name not in votes:
            continue
        others = consensus([vote for other, vote in votes.items() if other != name])
        if others.resolved:
            compared += 1
            agreed += votes[name] == others.verdict
    return Labeller(name, compared, rate(agreed, compared))


def criteria_unclear(items: Sequence[Consensus]) -> bool:
    """Return whether too many items are unsure or unresolved for the criteria to be clear."""
    open_items = sum(not item.resolved or item.unsure > item.votes for item in items)
    return open_items > UNCLEAR_SHARE * len(items)
