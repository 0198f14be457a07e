"""Golden sets: which items there are, and how a version is frozen from labels, datasets and the archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from api.http.errors import Invalid, NotFound
from api.schemas import golden_sets as bodies
from api.services.definitions import evaluation_of
from api.services.label_consensus import consensus_of
from api.services.owners import Owner
from api.services.resources import Services
from api.services.trust.chances import chances
from api.services.versions import version_of
from conditions import RowError
from config.definitions import Evaluation
from config.label_verdicts import BadVerdict, read_expected
from config.outputs import OutputConfig
from processor.events.generation import to_generation
from quality.consensus import label_of
from storage.clickhouse.query import PassRule
from storage.clickhouse.rows import GENERATION, RowSelection, newest_rows
from storage.clickhouse.verdicts import judged_targets
from storage.golden_items import dataset_item
from storage.sql.api_keys import ApiKey
from storage.sql.datasets import Datasets
from storage.sql.golden_sets import (
    MAX_BYTES,
    MAX_ITEMS,
    GoldenItem,
    GoldenSet,
    GoldenSets,
    GoldenSetTooLarge,
    GoldenVersion,
)
from storage.sql.label_queues import LabelQueues, QueueItem
from storage.sql.labels import Labels

_EVENTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class GoldenCandidate:
    """An item that a freeze would store. `event` is there for dataset items; others have theirs in the archive."""

    key: str
    expected: Mapping[str, Any]
    labels: int
    origin: str
    inclusion_probability: float | None
    target_event_id: str | None = None
    event: Mapping[str, Any] | None = None


def create(services: Services, caller: ApiKey, body: bodies.GoldenSetCreate) -> GoldenSet:
    """Store a golden set. Raises `NotFound` for an evaluation, and `Invalid` for a dataset, that is not the team's."""
    evaluation = evaluation_of(services, caller.team_id, str(body.evaluation))
    _check_sources(services, caller.team_id, body)
    values = {
        "evaluation_id": evaluation.id,
        "question": evaluation.question,
        "name": body.name,
        "description": body.description,
        "sources": _sources(body.model_dump(mode="json")),
    }
    return GoldenSets(services.database).create(caller.team_id, values, actor=caller.actor, now=services.now())


def change(services: Services, caller: ApiKey, golden: GoldenSet, body: bodies.GoldenSetPatch) -> GoldenSet:
    """Change a golden set; its versions stay as they are."""
    _check_sources(services, caller.team_id, body)
    given = body.model_dump(mode="json", include=set(body.given()))
    values: dict[str, Any] = {name: given[name] for name in ("name", "description", "deleted") if name in given}
    values["sources"] = _sources({**golden.sources, **given})
    changed = GoldenSets(services.database).update(
        caller.team_id, golden.id, values, actor=caller.actor, now=services.now()
    )
    if changed is None:
        raise NotFound
    return changed


def candidates(services: Services, golden: GoldenSet) -> list[GoldenCandidate]:
    """Return the items of a golden set as they are now, by key."""
    evaluation = evaluation_of(services, golden.team_id, golden.evaluation_id)
    found = [*_labelled(services, golden, evaluation), *_expected(services, golden, evaluation.output_config)]
    left_out = set(golden.sources.get("exclude", ()))
    return sorted((each for each in found if each.key not in left_out), key=lambda each: each.key)


def freeze(services: Services, caller: ApiKey, golden: GoldenSet) -> tuple[GoldenVersion, int]:
    """Store the next version, and return it with the number of generations that the archive does not have.

    Raises:
        Invalid: there are no items, or too many.
    """
    found = candidates(services, golden)
    if len(found) > MAX_ITEMS:
        raise Invalid(f"There are {len(found)} items; at most {MAX_ITEMS} are frozen. Exclude some.", code="too_large")
    items = list(_whole(services, golden.team_id, found))
    if not items:
        raise Invalid("There is nothing to freeze: no consensus of labels and no dataset item with metadata.expected.")
    try:
        version = GoldenSets(services.database).freeze(golden, items, actor=caller.actor, now=services.now())
    except GoldenSetTooLarge as error:
        raise Invalid(
            f"The version would have {error.size} {error.unit}; at most {error.limit} are frozen.", code="too_large"
        ) from error
    return version, len(found) - len(items)


def _labelled(services: Services, golden: GoldenSet, evaluation: Evaluation) -> Iterator[GoldenCandidate]:
    if not golden.sources.get("labels", True):
        return
    current = Labels(services.database).current(golden.team_id, golden.evaluation_id, golden.question)
    queues = set(golden.sources.get("queues", ()))
    items = LabelQueues(services.database).items_of(golden.team_id, golden.evaluation_id, golden.question)
    if queues:
        items = [(item, fingerprint) for item, fingerprint in items if item.queue_id in queues]
    wanted = {item.target_event_id for item, _ in items}
    consensuses = {
        target: found
        for target, found in consensus_of([label for label in current if not label.after_reveal]).items()
        if found.resolved and (not queues or target in wanted)
    }
    probabilities = _probabilities(services, evaluation, golden.question, items, sorted(consensuses.keys() & wanted))
    for target, found in consensuses.items():
        expected = label_of(found.verdict)
        yield GoldenCandidate(f"event:{target}", expected, found.votes, "labels", probabilities.get(target), target)


def _probabilities(
    services: Services, evaluation: Evaluation, question: int, items: Sequence[tuple[QueueItem, str]],
    targets: Sequence[str],
) -> dict[str, float]:  # fmt: skip
    """Return with which probability each labelled generation of random and stratified queues came to be labelled.

    Args:
        items: of the queues that the labels may come from, each with the fingerprint of its queue.
        targets: the labelled generations among them.
    """
    drawn = [(item, fingerprint) for item, fingerprint in items if item.mode != "focus"]
    # The stored probability of one queue is left where the judge's result is gone.
    found = {item.target_event_id: item.inclusion_probability or 0.0 for item, _ in drawn}
    store = LabelQueues(services.database)
    for fingerprint in sorted({fingerprint for _, fingerprint in drawn}):
        own = [item for item, each in drawn if each == fingerprint]
        known = {item.queue_id for item in own}
        samples = [
            queue
            for queue in store.samples_of(evaluation.team_id, evaluation.id, question, fingerprint)
            if queue.id in known
        ]
        with services.archive.client() as client:
            results = judged_targets(client, evaluation.team_id, evaluation.id, fingerprint, targets)
        rule = PassRule.of(version_of(services, evaluation, samples[0].evaluation_version).output)
        judged = [result for result in results if not result.skipped]
        for target, each in chances(samples, own, judged, rule).of.items():
            found[target] = round(each.probability, 12)  # equal chances stay equal
    return found


def _expected(services: Services, golden: GoldenSet, output: OutputConfig) -> Iterator[GoldenCandidate]:
    for dataset_id in golden.sources.get("datasets", ()):
        for each in expected_items(services, golden.team_id, dataset_id, output):
            yield GoldenCandidate(each.key, each.expected, 0, "dataset", None, event=each.event)


def expected_items(services: Services, team_id: int, dataset_id: str, output: OutputConfig) -> Iterator[GoldenItem]:
    """Yield the items of a dataset whose `metadata.expected` is a verdict of this output."""
    for row in Datasets(services.database).items(team_id, dataset_id):
        metadata = row["metadata"] if isinstance(row["metadata"], dict) else {}
        with suppress(BadVerdict):
            expected = read_expected(metadata.get("expected"), output)
            yield replace(dataset_item(row), expected=expected)


def _whole(services: Services, team_id: int, found: Sequence[GoldenCandidate]) -> Iterator[GoldenItem]:
    events = _events(services, team_id, [each.target_event_id for each in found if each.target_event_id is not None])
    for each in found:
        event = each.event if each.event is not None else events.get(each.target_event_id or "")
        if event is not None:
            yield GoldenItem(
                key=each.key,
                expected=each.expected,
                labels=each.labels,
                origin=each.origin,
                inclusion_probability=each.inclusion_probability,
                event=event,
            )


def _events(services: Services, team_id: int, wanted: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return archived generations by id. Raises `Invalid` as soon as they are too large together."""
    events: dict[str, Mapping[str, Any]] = {}
    size = 0
    if not wanted:
        return events
    with services.archive.client() as client:
        for start in range(0, len(wanted), _EVENTS_AT_ONCE):
            part = wanted[start : start + _EVENTS_AT_ONCE]
            for row in newest_rows(client, RowSelection(team_id, event=GENERATION, uuids=part)):
                size += len(row.properties or "")
                if size > MAX_BYTES:
                    detail = f"The items have more than {MAX_BYTES} bytes together; exclude some."
                    raise Invalid(detail, code="too_large")
                try:
                    generation = to_generation(row)
                except RowError:
                    continue
                events[row.uuid] = {
                    "uuid": row.uuid, "distinct_id": generation.distinct_id,
                    "timestamp": generation.timestamp.isoformat(), "properties": dict(generation.properties),
                }  # fmt: skip
    return events


def diff(before: Sequence[GoldenItem], after: Sequence[GoldenItem]) -> bodies.GoldenDiff:
    """Return what changed between two versions."""
    old, new = ({item.key: item for item in items} for items in (before, after))
    both = sorted(old.keys() & new.keys())
    changed = [key for key in both if old[key].expected != new[key].expected]
    return bodies.GoldenDiff(
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
        changed=[
            bodies.GoldenChange(key=key, before=dict(old[key].expected), after=dict(new[key].expected))
            for key in changed
        ],
        unchanged=len(both) - len(changed),
    )


def shown(golden: GoldenSet, versions: Sequence[GoldenVersion], owner: Owner) -> bodies.GoldenSet:
    """Return a golden set as the API shows it."""
    return bodies.GoldenSet(
        id=UUID(golden.id),
        evaluation=UUID(golden.evaluation_id),
        question=golden.question,
        name=golden.name,
        description=golden.description,
        **_sources(golden.sources),
        versions=[version_shown(version, owner) for version in versions],
        created_at=golden.created_at,
        updated_at=golden.updated_at,
        created_by=owner(golden.created_by),
    )


def version_shown(version: GoldenVersion, owner: Owner) -> bodies.GoldenVersion:
    """Return a version as the API shows it."""
    return bodies.GoldenVersion(
        version=version.version,
        sha256=version.sha256,
        items=version.items,
        size_bytes=version.size_bytes,
        incomplete=version.incomplete,
        created_at=version.created_at,
        created_by=owner(version.created_by),
    )


def _sources(raw: Mapping[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"labels": True, "queues": [], "datasets": [], "exclude": []}
    return {name: raw.get(name, default) for name, default in defaults.items()}


def _check_sources(services: Services, team_id: int, body: bodies.GoldenSetPatch) -> None:
    for attr, known in (("datasets", Datasets(services.database)), ("queues", LabelQueues(services.database))):
        for each in getattr(body, attr):
            if known.get(team_id, str(each)) is None:
                raise Invalid(f"There is no {each} in this team.", code="does_not_exist", attr=attr)
