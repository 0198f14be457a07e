"""Label queues: made from a sample of results, extended in the same order, and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from api.http.errors import Invalid, NotFound
from api.schemas import label_queues as bodies
from api.schemas.labellers import Between
from api.services.definitions import evaluation_of
from api.services.label_consensus import consensus_of
from api.services.owners import Owner
from api.services.resources import Services
from api.services.versions import Version, version_of
from config.definitions import Evaluation
from config.outputs import NumericOutput
from quality.allocation import Pilot, neyman
from quality.consensus import between_labellers, criteria_unclear, vote_of
from storage.clickhouse import samples
from storage.clickhouse.query import PassRule
from storage.clickhouse.samples import Population
from storage.sql.api_keys import ApiKey
from storage.sql.label_leases import LabelLeases
from storage.sql.label_queues import Drawn, LabelQueues, NewQueue, Queue, Stratum
from storage.sql.labels import Label, Labels

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

LEAST_OF_STRATUM = 10
"""Items of each stratum, if it has as many, however few its share would give."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the items of a queue come from."""

    population: Population
    mode: str
    reason: str | None
    rule: PassRule
    scores: bool


def create(services: Services, caller: ApiKey, body: bodies.LabelQueueCreate) -> Queue:
    """Draw a sample and store it as a queue.

    Raises:
        NotFound: the evaluation is not the team's.
        Invalid: the fields contradict each other, or the window has no such results.
    """
    evaluation = evaluation_of(services, caller.team_id, str(body.evaluation))
    version = version_of(services, evaluation, body.version)
    now = services.now()
    _check(body, now)
    queue_id = str(uuid4())
    with services.archive.client() as client:
        strata, items = _items(services, client, evaluation, version, body, queue_id, now)
    if not items:
        raise Invalid("No result of this version and window can be labelled.", code="no_results", attr="window_start")
    new = NewQueue(
        evaluation_id=evaluation.id,
        question=version.question,
        evaluation_version=version.number,
        fingerprint=version.fingerprint,
        name=body.name or f"{body.mode} sample of {now:%Y-%m-%d}",
        mode=body.mode,
        reason=body.reason,
        window_start=body.window_start,
        window_end=None if body.window_start is None else body.window_end or now,
        size=len(items) if body.reason == "hand_picked" else body.size,
        labellers_per_item=body.labellers_per_item,
        overlap=body.overlap,
        blind=body.blind,
        reveal=body.reveal,
        strata=strata,
    )
    return LabelQueues(services.database).create(caller.team_id, queue_id, new, items, actor=caller.actor, now=now)


def change(services: Services, caller: ApiKey, queue_id: str, body: bodies.LabelQueuePatch) -> Queue:
    """Rename, extend or delete a queue. Raises `NotFound`, or `Invalid` for a size that would shrink it."""
    store = LabelQueues(services.database)
    queue = store.get(caller.team_id, queue_id)
    if queue is None:
        raise NotFound
    values = body.given()
    more: Sequence[Drawn] = ()
    if "size" in values and values["size"] != queue.size:
        if values["size"] < queue.size:
            raise Invalid(f"The queue has {queue.size} items, and a queue never shrinks.", attr="size")
        more = _extension(services, queue, values["size"])
    changed = store.update(caller.team_id, queue_id, values, actor=caller.actor, now=services.now(), more=more)
    if changed is None:
        raise NotFound
    return changed


def _check(body: bodies.LabelQueueCreate, now: datetime) -> None:
    if body.mode != "focus" and (body.reason or body.results):
        raise Invalid("Only a focus queue has a reason and picked results.", attr="mode")
    if body.mode == "focus" and body.reason is None:
        raise Invalid("A focus queue names what it collects.", code="required", attr="reason")
    picked = body.reason == "hand_picked"
    if picked != (body.results is not None):
        raise Invalid("Reason hand_picked and results belong together.", attr="results")
    if (body.reason == "versions") != (body.other_version is not None):
        raise Invalid("Reason versions and other_version belong together.", attr="other_version")
    if body.window_start is None and not picked:
        raise Invalid("This field is required.", code="required", attr="window_start")
    if body.window_start is not None and body.window_start >= (body.window_end or now):
        raise Invalid("window_start must be before window_end.", attr="window_start")


def _items(
    services: Services, client: Client, evaluation: Evaluation, version: Version, body: bodies.LabelQueueCreate,
    queue_id: str, now: datetime,
) -> tuple[tuple[Stratum, ...], list[Drawn]]:  # fmt: skip
    if body.results is not None:
        found = samples.picked(client, evaluation.team_id, evaluation.id, [str(each) for each in body.results])
        return (), found
    assert body.window_start is not None  # noqa: S101  # `_check` refused a body without it
    population = Population(
        evaluation.team_id, evaluation.id, version.fingerprint, body.window_start, body.window_end or now, now
    )
    source = _Source(
        population, body.mode, body.reason, PassRule.of(version.output), isinstance(version.output, NumericOutput)
    )
    if body.other_version is not None:
        other = version_of(services, evaluation, body.other_version, attr="other_version")
        drawn = samples.draw_disagreements(client, population, other.fingerprint, queue_id, body.size, source.rule)
        return (), drawn
    if body.reason is not None:
        return (), samples.draw_focus(client, population, queue_id, body.reason, body.size)
    strata = _strata(client, source)
    least = LEAST_OF_STRATUM * len(strata)
    if body.mode == "stratified" and body.size < least:
        raise Invalid(f"A stratified queue takes {LEAST_OF_STRATUM} of each stratum, so at least {least}.", attr="size")
    sizes = _sizes(strata, body.size, {})
    return strata, _draw(client, source, queue_id, strata, sizes)


def _strata(client: Client, source: _Source) -> tuple[Stratum, ...]:
    if source.mode == "random":
        return samples.whole(client, source.population)
    if source.rule.operator is not None or source.rule.categories is not None or not source.scores:
        strata = samples.by_verdict(client, source.population, source.rule)
        if sum(each.population for each in strata) == 0 and samples.whole(client, source.population)[0].population:
            raise Invalid("A stratified queue needs a passing rule; use mode random without one.", attr="mode")
        return strata
    return samples.by_score(client, source.population)


def _draw(
    client: Client, source: _Source, queue_id: str, strata: Sequence[Stratum], sizes: dict[str, int]
) -> list[Drawn]:
    drawn = [
        samples.draw(client, source.population, queue_id, stratum, sizes[stratum.name], source.rule)
        for stratum in strata
        if sizes[stratum.name]
    ]
    if len(drawn) == 1:
        return drawn[0]
    # Strata are mixed evenly, so that neither the order nor an unfinished queue tells which stratum an item is of.
    spread = [
        ((place + 0.5) / len(part), number, item)
        for number, part in enumerate(drawn)
        for place, item in enumerate(part)
    ]
    return [item for _, _, item in sorted(spread, key=lambda each: each[:2])]


def _sizes(strata: Sequence[Stratum], n: int, pilots: dict[str, Pilot]) -> dict[str, int]:
    """Return how many results of each stratum are drawn: by Neyman for two, in proportion for more."""
    total = sum(stratum.population for stratum in strata)
    if len(strata) == 1 or total == 0:
        return {stratum.name: min(n, stratum.population) for stratum in strata}
    if len(strata) == 2:
        empty = Pilot(0, 0)
        share = strata[0].population / total
        split = neyman(n, share, pilots.get("pass", empty), pilots.get("fail", empty))
        wanted = {strata[0].name: split.labelled_pass, strata[1].name: split.labelled_fail}
    else:
        wanted = {stratum.name: round(n * stratum.population / total) for stratum in strata}
    return {stratum.name: min(max(wanted[stratum.name], LEAST_OF_STRATUM), stratum.population) for stratum in strata}


def _extension(services: Services, queue: Queue, size: int) -> list[Drawn]:
    if queue.window_start is None or queue.window_end is None or queue.reason is not None:
        raise Invalid("Only random and stratified queues are extended; make another focus queue.", attr="size")
    evaluation = evaluation_of(services, queue.team_id, queue.evaluation_id)
    version = version_of(services, evaluation, queue.evaluation_version)
    population = Population(
        queue.team_id, queue.evaluation_id, queue.fingerprint, queue.window_start, queue.window_end, queue.created_at
    )
    rule = PassRule.of(version.output)
    source = _Source(population, queue.mode, None, rule, isinstance(version.output, NumericOutput))
    items = LabelQueues(services.database).items(queue.team_id, queue.id)
    has = {stratum.name: sum(item.stratum == stratum.name for item in items) for stratum in queue.strata}
    sizes = _sizes(queue.strata, size, _pilots(services, queue, rule))
    sizes = {name: max(wanted, has[name]) for name, wanted in sizes.items()}
    with services.archive.client() as client:
        return _draw(client, source, queue.id, queue.strata, sizes)


def _pilots(services: Services, queue: Queue, rule: PassRule) -> dict[str, Pilot]:
    """Return how the labels of the queue's strata have turned out so far."""
    counts = {"pass": [0, 0], "fail": [0, 0]}
    strata = {
        item.target_event_id: item.stratum for item in LabelQueues(services.database).items(queue.team_id, queue.id)
    }
    for target, found in consensus_of(labels_of(services, queue)).items():
        if found.resolved and found.verdict is not None and strata[target] in counts:
            counts[strata[target]][0] += 1
            counts[strata[target]][1] += bool(rule.passes(found.verdict))
    return {name: Pilot(labelled, passes) for name, (labelled, passes) in counts.items()}


def labels_of(services: Services, queue: Queue) -> list[Label]:
    """Return the current labels of a queue's items."""
    targets = {item.target_event_id for item in LabelQueues(services.database).items(queue.team_id, queue.id)}
    found = Labels(services.database).current(queue.team_id, queue.evaluation_id, queue.question)
    return [label for label in found if label.target_event_id in targets]


def progress(services: Services, queue: Queue) -> bodies.QueueProgress:
    """Return how far a queue is, and how far its labellers agree."""
    items = LabelQueues(services.database).items(queue.team_id, queue.id)
    current = labels_of(services, queue)
    found = consensus_of(current)
    votes: dict[str, dict[str, Any]] = {}
    for label in current:
        votes.setdefault(label.target_event_id, {})[label.labeller] = vote_of(label.verdict)
    between = between_labellers(list(votes.values()))
    states = LabelLeases(services.database).states(queue.id, now=services.now())
    seconds = [label.seconds for label in current if label.seconds is not None]
    return bodies.QueueProgress(
        items=len(items),
        done=sum(item.answers >= item.wanted for item in items),
        leased=states.get("leased", 0),
        skipped=states.get("skipped", 0),
        labels=len(current),
        unsure=sum(each.unsure for each in found.values()),
        unresolved=sum(each.votes > 0 and not each.resolved for each in found.values()),
        seconds_per_label=median(seconds) if seconds else None,
        overlapping=between.items,
        alpha=between.alpha,
        labellers=Between.of(between),
        warnings=["criteria_unclear"] if criteria_unclear(list(found.values())) else [],
    )


def shown(services: Services, queues: Sequence[Queue], owner: Owner) -> list[bodies.LabelQueue]:
    """Return queues as the API shows them. One query, however many there are."""
    sizes = LabelQueues(services.database).sizes([queue.id for queue in queues])
    return [_shown(queue, sizes[queue.id], owner) for queue in queues]


def _shown(queue: Queue, sizes: Mapping[str, int], owner: Owner) -> bodies.LabelQueue:
    return bodies.LabelQueue(
        id=UUID(queue.id),
        evaluation=UUID(queue.evaluation_id),
        name=queue.name,
        mode=queue.mode,
        reason=queue.reason,
        version=queue.evaluation_version,
        fingerprint=queue.fingerprint,
        question=queue.question,
        window_start=queue.window_start,
        window_end=queue.window_end,
        size=queue.size,
        items=sum(sizes.values()),
        strata=[
            bodies.StratumShown(name=each.name, population=each.population, items=sizes.get(each.name, 0))
            for each in queue.strata
        ],
        labellers_per_item=queue.labellers_per_item,
        overlap=queue.overlap,
        blind=queue.blind,
        reveal=queue.reveal,
        created_at=queue.created_at,
        updated_at=queue.updated_at,
        created_by=owner(queue.created_by),
    )
