"""With which probability each labelled generation was drawn by the random and stratified queues of one version.

Several queues can draw the same result, so a result's probability is that at least one of them drew it, whichever did.
A queue whose items are not all labelled yet has drawn so many fewer, because within a stratum the unlabelled items are
random too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from quality.post_stratified import STRATUM_MINIMUM
from storage.clickhouse.query import PassRule
from storage.clickhouse.verdicts import JudgedTarget
from storage.sql.label_queues import Queue, QueueItem, Stratum


@dataclass(frozen=True, slots=True)
class DrawChance:
    """The probability of a result to be drawn and labelled, and its stratum in each queue that could draw it."""

    probability: float
    stratum: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DrawChances:
    """The chances of labelled results, by target; a target that no such queue drew is left out.

    Attributes:
        missing: labels that strata lack for a weighted figure. A stratum without labels says nothing of its results.
    """

    of: Mapping[str, DrawChance]
    missing: int


def chances(
    queues: Sequence[Queue], items: Sequence[QueueItem], results: Sequence[JudgedTarget], rule: PassRule
) -> DrawChances:
    """Return the chances of `results`, which are labelled and judged.

    Args:
        queues: all random and stratified queues of the version.
        items: their items.
    """
    drawn_by: dict[str, dict[str, QueueItem]] = {queue.id: {} for queue in queues}
    for item in items:
        if item.queue_id in drawn_by:
            drawn_by[item.queue_id][item.target_event_id] = item
    shares = {queue.id: _shares(drawn_by[queue.id], {result.target_event_id for result in results}) for queue in queues}
    sampled = {target for drawn in drawn_by.values() for target in drawn}
    found: dict[str, DrawChance] = {}
    covered = Counter[tuple[str, str]]()
    for result in results:
        if result.target_event_id not in sampled:
            continue
        missed = 1.0
        strata = []
        for queue in queues:
            stratum = _stratum(queue, drawn_by[queue.id].get(result.target_event_id), result, rule)
            strata.append(stratum)
            missed *= 1 - shares[queue.id].get(stratum, 0.0)
            covered[queue.id, stratum] += 1
        found[result.target_event_id] = DrawChance(1 - missed, tuple(strata))
    return DrawChances(found, _missing(queues, covered))


def frozen_chances(stored: Mapping[str, float], answered: Collection[str]) -> DrawChances:
    """Return the chances of items of a golden set that a judge answered; none where all were drawn with the same one.

    A frozen item keeps its probability and not its stratum, so items of one probability are one stratum. The answered
    ones stand for all of it.

    Args:
        stored: the probability of each item that has one, by key.
    """
    if len(set(stored.values())) < 2:
        return DrawChances({}, 0)
    frozen = Counter(stored.values())
    judged = Counter(stored[key] for key in answered if key in stored)
    found = {
        key: DrawChance(stored[key] * judged[stored[key]] / frozen[stored[key]], (repr(stored[key]),))
        for key in answered
        if key in stored
    }
    return DrawChances(found, 0)


def _shares(items: Mapping[str, QueueItem], labelled: set[str]) -> dict[str, float]:
    """Return the share of the results of each stratum that a queue drew and people labelled."""
    drawn = Counter(item.stratum for item in items.values())
    answered = Counter(item.stratum for target, item in items.items() if target in labelled)
    chance = {item.stratum: item.inclusion_probability or 0.0 for item in items.values()}
    return {stratum: chance[stratum] * answered[stratum] / drawn[stratum] for stratum in drawn}


def _stratum(queue: Queue, item: QueueItem | None, result: JudgedTarget, rule: PassRule) -> str:
    """Return the stratum of a result in a queue, or an empty text: the queue could not draw it."""
    if item is not None:
        return item.stratum
    if result.verdict is None or queue.window_start is None or queue.window_end is None:
        return ""
    # A queue draws from the results that were there when it was made.
    if not queue.window_start <= result.timestamp < min(queue.window_end, queue.created_at):
        return ""
    return next((each.name for each in queue.strata if _holds(each, result, rule)), "")


def _holds(stratum: Stratum, result: JudgedTarget, rule: PassRule) -> bool:
    if stratum.name in ("pass", "fail"):
        assert result.verdict is not None  # noqa: S101  # N/A is in no stratum, which the caller has seen
        return rule.passes(result.verdict) is (stratum.name == "pass")
    if stratum.name == "all":
        return True
    if not isinstance(result.verdict, float):
        return False
    low, high = stratum.above, stratum.up_to
    return (low is None or low < result.verdict) and (high is None or result.verdict <= high)


def _missing(queues: Sequence[Queue], covered: Mapping[tuple[str, str], int]) -> int:
    return sum(
        max(0, min(STRATUM_MINIMUM, stratum.population) - covered.get((queue.id, stratum.name), 0))
        for queue in queues
        if queue.mode == "stratified"
        for stratum in queue.strata
    )
