"""Pairs of what people and one version of a judge say of the same generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from api.services.label_consensus import consensus_of
from api.services.resources import Services
from api.services.trust.chances import DrawChance, DrawChances, chances
from api.services.versions import Version
from config.definitions import Evaluation
from quality.consensus import BetweenLabellers, Consensus, Verdict, Vote, between_labellers, vote_of
from storage.clickhouse.query import PassRule
from storage.clickhouse.verdicts import JudgedTarget, judged_targets
from storage.sql.label_queues import LabelQueues, QueueItem
from storage.sql.labels import Label, Labels

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Drawn = Literal["random", "stratified", "unsampled"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One generation with the consensus of people and the version's result.

    Attributes:
        drawn: how it came to be labelled. `unsampled`: its label came outside of the queues of this version.
        in_window: whether the result lies in the window that was asked for.
        chance: with which it was drawn by a random or a stratified queue of this version; None if unsampled.
        human, judge: None for N/A. human_passes, judge_passes: under the passing rule; None where none decides.
    """

    target_event_id: str
    drawn: Drawn
    in_window: bool
    human: Verdict
    judge: Verdict
    human_passes: bool | None
    judge_passes: bool | None
    result: JudgedTarget
    chance: DrawChance | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """Everything that labels and results say of one version.

    Attributes:
        labels: current labels that count. items: generations with a consensus that may enter estimates.
        unanswered: of these, how many the judge skipped. not_judged: how many this version did not judge.
        missing_in_strata: labels that strata of stratified queues lack for a weighted figure.
    """

    pairs: tuple[Pair, ...]
    labels: int
    items: int
    unresolved: int
    unanswered: int
    not_judged: int
    between: BetweenLabellers
    consensuses: tuple[Consensus, ...]
    missing_in_strata: int = 0


def has_labels(services: Services, evaluation: Evaluation, question: int) -> bool:
    """Return whether anybody has labelled a generation for this question."""
    return Labels(services.database).exist(evaluation.team_id, evaluation.id, question)


def load(
    services: Services, client: Client, evaluation: Evaluation, version: Version, window: tuple[datetime, datetime],
    *, sliced_by: str = "",
) -> Labelled:  # fmt: skip
    """Return the pairs of a version. Labels after a reveal and items of focus queues alone are left out."""
    team_id = evaluation.team_id
    current = [
        label
        for label in Labels(services.database).current(team_id, evaluation.id, version.question)
        if not label.after_reveal
    ]
    queues = LabelQueues(services.database)
    items = queues.items_of(team_id, evaluation.id, version.question)
    drawn = _drawn(items, version)
    consensuses = consensus_of(current)
    usable = {
        target: found.verdict
        for target, found in consensuses.items()
        if found.resolved and drawn.get(target, "unsampled") != "focus"
    }
    results = judged_targets(client, team_id, evaluation.id, version.fingerprint, sorted(usable), sliced_by=sliced_by)
    rule = PassRule.of(version.output)
    judged = [result for result in results if not result.skipped]
    samples = queues.samples_of(team_id, evaluation.id, version.question, version.fingerprint)
    found_chances = chances(samples, [item for item, _ in items], judged, rule)
    pairs = tuple(
        _pair(usable[result.target_event_id], result, drawn, found_chances, rule, window) for result in judged
    )
    unanswered = sum(result.skipped for result in results)
    return Labelled(
        pairs=pairs,
        labels=len(current),
        items=len(usable),
        unresolved=sum(found.votes > 0 and not found.resolved for found in consensuses.values()),
        unanswered=unanswered,
        not_judged=len(usable) - len(pairs) - unanswered,
        between=between_labellers(_votes(current)),
        consensuses=tuple(consensuses.values()),
        missing_in_strata=found_chances.missing,
    )


def _votes(current: Sequence[Label]) -> list[dict[str, Vote]]:
    votes: dict[str, dict[str, Vote]] = {}
    for label in current:
        votes.setdefault(label.target_event_id, {})[label.labeller] = vote_of(label.verdict)
    return list(votes.values())


def _drawn(items: Sequence[tuple[QueueItem, str]], version: Version) -> dict[str, str]:
    """Return how each queued target was drawn: random before stratified, and focus only if nothing else."""
    rank = {"random": 0, "stratified": 1, "unsampled": 2, "focus": 3}
    found: dict[str, str] = {}
    for item, fingerprint in items:
        # A sample of another version's results says nothing of how this version's results were drawn.
        mode = item.mode if item.mode == "focus" or fingerprint == version.fingerprint else "unsampled"
        before = found.get(item.target_event_id)
        if before is None or rank[mode] < rank[before]:
            found[item.target_event_id] = mode
    return found


def _pair(
    human: Verdict, result: JudgedTarget, drawn: Mapping[str, str], drawn_with: DrawChances, rule: PassRule,
    window: tuple[datetime, datetime],
) -> Pair:  # fmt: skip
    mode = drawn.get(result.target_event_id)
    return Pair(
        target_event_id=result.target_event_id,
        drawn="random" if mode == "random" else "stratified" if mode == "stratified" else "unsampled",
        in_window=window[0] <= result.timestamp < window[1],
        human=human,
        judge=result.verdict,
        human_passes=None if human is None else rule.passes(human),
        judge_passes=None if result.verdict is None else rule.passes(result.verdict),
        result=result,
        chance=drawn_with.of.get(result.target_event_id),
    )
