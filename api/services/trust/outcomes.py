"""Figures of measurements from their results: the outcome of a comparison, agreement with a golden set, consistency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.schemas import measurements as bodies
from api.schemas.measurements import Side
from api.schemas.trust import Agreement, ConsistencyShown, Figure
from api.services.golden_sets import expected_items
from api.services.label_consensus import consensus_of
from api.services.resources import Services
from api.services.trust.agreement import agreement_of
from api.services.trust.chances import frozen_chances
from api.services.trust.extra import extra_needed
from api.services.trust.pairs import Labelled, Pair
from api.services.versions import Version
from config.definitions import Evaluation
from quality.comparison import Flips, compare, mcnemar
from quality.consensus import Verdict, between_labellers, label_of, vote_of
from quality.consistency import consistency
from quality.minimums import BOOTSTRAP_ITEMS
from storage.clickhouse.measurements import MeasuredVerdict, results_of_run
from storage.clickhouse.query import PassRule
from storage.clickhouse.results import ResultSelection, StoredResult, find_results
from storage.clickhouse.verdicts import JudgedTarget, judged_targets
from storage.sql.golden_sets import GoldenItem, GoldenSets
from storage.sql.labels import Labels
from storage.sql.measurements import MeasuredItem, MeasurementRun, MeasurementRuns


@dataclass(frozen=True, slots=True)
class ComparedSide:
    """The verdict of one version on one item, measured or reused."""

    verdict: Verdict
    skipped: bool
    reasoning: str
    cost_usd: float | None
    latency_s: float | None
    result_id: str | None = None


@dataclass(frozen=True, slots=True)
class ComparedItem:
    """One item with the verdicts of both versions; None for one that is not there yet."""

    item: MeasuredItem
    a: ComparedSide | None
    b: ComparedSide | None


def compared_items(
    services: Services, evaluation: Evaluation, run: MeasurementRun, a: Version, b: Version
) -> list[ComparedItem]:
    """Return the items of a comparison with what both versions say of them."""
    items = MeasurementRuns(services.database).items(run.id)
    with services.archive.client() as client:
        measured = {
            (each.item, each.version): each for each in results_of_run(client, run.team_id, run.evaluation_id, run.id)
        }
        stored = {
            version.number: {
                each.target_event_id: each
                for each in judged_targets(
                    client, run.team_id, evaluation.id, version.fingerprint,
                    [item.event_uuid for item in items if version.number in item.reused],
                )
            }
            for version in (a, b)
        }  # fmt: skip
    found = []
    for item in items:
        sides = []
        for version in (a, b):
            side = measured.get((item.item, version.number))
            sides.append(_judged(side) if side is not None else _reused(stored[version.number].get(item.event_uuid)))
        found.append(ComparedItem(item, *sides))
    return found


def outcome_of(
    services: Services, evaluation: Evaluation, run: MeasurementRun, rule: PassRule, items: Sequence[ComparedItem]
) -> bodies.ComparisonOutcome:
    """Return what a comparison says so far."""
    pairs = [(each, *passed) for each in items if (passed := _passes(each, rule)) is not None]
    counts = Counter((before, after) for _, before, after in pairs)
    flips = Flips(counts[True, True], counts[False, True], counts[True, False], counts[False, False])
    found = compare(flips, float(run.params.get("margin", 0.02)))
    scored = [
        (each, each.a.verdict, each.b.verdict)
        for each in items
        if each.a and each.b and isinstance(each.a.verdict, float) and isinstance(each.b.verdict, float)
    ]
    both = [each for each in items if each.a and each.b and not each.a.skipped and not each.b.skipped]
    with extra_needed():
        return bodies.ComparisonOutcome(
            n=flips.n,
            both_pass=flips.both_pass,
            fail_to_pass=flips.fail_to_pass,
            pass_to_fail=flips.pass_to_fail,
            both_fail=flips.both_fail,
            difference=Figure() if found is None else Figure.of(found.difference),
            p=None if found is None else found.mcnemar_p,
            outcome=None if found is None else found.outcome,
            n_to_decide=None if found is None else found.n_to_decide,
            not_compared=len(items) - max(len(pairs), len(scored)),
            without_verdict=_without_verdict(items),
            score=_paired(run.id, [(each, float(a), float(b)) for each, a, b in scored]),
            cost_usd=_paired(run.id, [(each, each.a.cost_usd, each.b.cost_usd) for each in both if each.a and each.b]),
            latency_s=_paired(
                run.id, [(each, each.a.latency_s, each.b.latency_s) for each in both if each.a and each.b]
            ),
            labels=_with_labels(services, evaluation, pairs, rule),
        )


def flips_of(services: Services, team_id: int, items: Sequence[ComparedItem], rule: PassRule) -> list[bodies.Flip]:
    """Return the items on which the versions disagree, with both reasonings."""
    found = [each for each in items if each.a and each.b and _differ(each, rule)]
    ids = [side.result_id for each in found for side in (each.a, each.b) if side and side.result_id]
    stored: dict[str, StoredResult] = {}
    if ids:
        with services.archive.client() as client:
            for start in range(0, len(ids), 50):
                part = tuple(ids[start : start + 50])
                selection = ResultSelection(team_id, uuids=part)
                stored |= {each.uuid: each for each in find_results(client, selection, rule, limit=50)}
    return [
        bodies.Flip(
            item=each.item.item,
            target_event_id=each.item.event_uuid,
            a=label_of(each.a.verdict),
            b=label_of(each.b.verdict),
            reasoning_a=_reasoning(each.a, stored),
            reasoning_b=_reasoning(each.b, stored),
        )
        for each in found
        if each.a and each.b
    ]


def agreement_with_golden(
    services: Services, run: MeasurementRun, version: Version, results: Sequence[MeasuredVerdict]
) -> Agreement:
    """Return how far a version agrees with the expected verdicts of a golden set or of a dataset."""
    golden = _expected_items(services, run, version)
    measured = {each.item: each for each in results if each.repeat == 0}
    drawn = frozen_chances(
        {each.key: each.inclusion_probability for each in golden if each.inclusion_probability},
        [key for key, each in measured.items() if not each.skipped],
    )
    rule = PassRule.of(version.output)
    pairs = []
    skipped = 0
    for item in golden:
        found = measured.get(item.key)
        human = vote_of(item.expected)
        if found is None or not (human is None or isinstance(human, bool | float | frozenset)):
            continue
        if found.skipped:
            skipped += 1
            continue
        target = JudgedTarget("", item.event["uuid"], run.created_at, found.verdict, False, "")
        pairs.append(
            Pair(
                target_event_id=item.key.removeprefix("event:"),
                drawn="stratified" if item.key in drawn.of else "unsampled",
                in_window=True,
                human=human,
                judge=found.verdict,
                human_passes=None if human is None else rule.passes(human),
                judge_passes=None if found.verdict is None else rule.passes(found.verdict),
                result=target,
                chance=drawn.of.get(item.key),
            )
        )
    labelled = Labelled(
        pairs=tuple(pairs),
        labels=len(golden),
        items=len(golden),
        unresolved=0,
        unanswered=skipped,
        not_judged=len(golden) - len(pairs) - skipped,
        between=between_labellers([]),
        consensuses=(),
    )
    with extra_needed():
        return agreement_of(labelled, version.output, None, {}, None)


def _expected_items(services: Services, run: MeasurementRun, version: Version) -> list[GoldenItem]:
    if run.dataset is not None:
        return list(expected_items(services, run.team_id, run.dataset, version.output))
    golden_set, number = str(run.params["golden_set"]), int(run.params["golden_set_version"])
    return list(GoldenSets(services.database).items(run.team_id, golden_set, number))


def consistency_of(results: Sequence[MeasuredVerdict]) -> ConsistencyShown:
    """Return how often a version contradicts itself. A skip is not a verdict."""
    by_item: dict[str, list[Hashable]] = {}
    for each in results:
        if not each.skipped:
            by_item.setdefault(each.item, []).append("n/a" if each.verdict is None else each.verdict)
    names = list(by_item)
    found = consistency(list(by_item.values()))
    return ConsistencyShown(
        items=len(names),
        flip_rate=None if found is None else found.flip_rate,
        se=None if found is None else found.se,
        unanimous=None if found is None else found.unanimous,
        least_steady=[] if found is None else [names[at] for at in found.least_steady],
    )


def _judged(found: MeasuredVerdict) -> ComparedSide:
    return ComparedSide(found.verdict, found.skipped, found.reasoning, found.cost_usd, found.latency_s)


def _reused(found: JudgedTarget | None) -> ComparedSide | None:
    return None if found is None else ComparedSide(found.verdict, found.skipped, "", None, None, found.result_id)


def _without_verdict(items: Sequence[ComparedItem]) -> list[bodies.WithoutVerdict]:
    counts = Counter((_kind(each.a), _kind(each.b)) for each in items)
    return [bodies.WithoutVerdict(a=a, b=b, n=n) for (a, b), n in counts.most_common() if not a == b == "applicable"]


def _kind(side: ComparedSide | None) -> Side:
    if side is None:
        return "missing"
    return "skipped" if side.skipped else "not_applicable" if side.verdict is None else "applicable"


def _passes(each: ComparedItem, rule: PassRule) -> tuple[bool, bool] | None:
    if each.a is None or each.b is None or each.a.verdict is None or each.b.verdict is None:
        return None
    before, after = rule.passes(each.a.verdict), rule.passes(each.b.verdict)
    return None if before is None or after is None else (before, after)


def _differ(each: ComparedItem, rule: PassRule) -> bool:
    if each.a is None or each.b is None or each.a.skipped or each.b.skipped:
        return False
    passed = _passes(each, rule)
    return each.a.verdict != each.b.verdict if passed is None else passed[0] != passed[1]


def _reasoning(side: ComparedSide, stored: Mapping[str, StoredResult]) -> str:
    known = stored.get(side.result_id or "")
    return known.reasoning if known is not None else side.reasoning


def _paired(run_id: str, values: Sequence[tuple[ComparedItem, Any, Any]]) -> bodies.PairedShown | None:
    given = [(each, float(a), float(b)) for each, a, b in values if a is not None and b is not None]
    if len(given) < 2:
        return None
    from quality.paired import generator, paired_difference

    groups = [each.item.trace_id or each.item.item for each, _, _ in given]
    found = paired_difference([a for _, a, _ in given], [b for _, _, b in given], generator(run_id), groups)
    enough = len(given) >= BOOTSTRAP_ITEMS and found.bootstrap is not None
    interval = found.bootstrap if enough and found.bootstrap is not None else found.difference.interval
    return bodies.PairedShown(
        difference=Figure(value=found.difference.value, low=interval.low, high=interval.high),
        median_a=found.a.median,
        median_b=found.b.median,
        p95_a=found.a.p95,
        p95_b=found.b.p95,
    )


def _with_labels(
    services: Services, evaluation: Evaluation, pairs: Sequence[tuple[ComparedItem, bool, bool]], rule: PassRule
) -> bodies.WithLabels | None:
    current = Labels(services.database).current(evaluation.team_id, evaluation.id, evaluation.question)
    people = {
        target: rule.passes(found.verdict)
        for target, found in consensus_of([each for each in current if not each.after_reveal]).items()
        if found.resolved and found.verdict is not None
    }
    right = Counter(
        (before == human, after == human)
        for each, before, after in pairs
        if (human := people.get(each.item.event_uuid)) is not None
    )
    if not right:
        return None
    only_a, only_b = right[True, False], right[False, True]
    return bodies.WithLabels(
        labelled=sum(right.values()), only_a_right=only_a, only_b_right=only_b, p=mcnemar(only_a, only_b)
    )
