"""Measurements: which items they judge, what they would cost, and how they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from api.http.errors import Conflict, Invalid, NotFound
from api.schemas import measurements as bodies
from api.services.owners import Owner
from api.services.resources import Services
from api.services.versions import Version
from conditions import RowError
from config.definitions import Evaluation
from config.model_resolution import Unresolved
from config.prices import load_prices
from evaluators.generation import Generation
from processor.events.generation import to_generation
from storage.clickhouse.measurements import draw_targets
from storage.clickhouse.rows import GENERATION, RowSelection, newest_rows
from storage.clickhouse.verdicts import judged_targets
from storage.golden_items import dataset_item, measured_items, without_examples
from storage.sql.api_keys import ApiKey
from storage.sql.datasets import Datasets
from storage.sql.golden_sets import GoldenItem, GoldenSets
from storage.sql.measurements import (
    MAX_ITEMS,
    MeasuredItem,
    MeasurementKind,
    MeasurementRun,
    MeasurementRuns,
    NewMeasurement,
)

DEFAULT_WINDOW = timedelta(days=7)
_RUNS_LOOKED_AT = 50
_ESTIMATED = 50
"""Items whose tokens are counted for a dry run; the others are taken to be like them."""


@dataclass(frozen=True, slots=True)
class MeasurementPlan:
    """A measurement before it is asked for."""

    run_id: str
    kind: MeasurementKind
    versions: tuple[Version, ...]
    repeats: int
    items: tuple[MeasuredItem, ...]
    params: dict[str, Any]
    fixed: tuple[GoldenItem, ...] = ()
    """The items with their texts, where they do not come from a window."""


def plan_comparison(
    services: Services, evaluation: Evaluation, a: Version, b: Version, body: bodies.ComparisonCreate
) -> MeasurementPlan:
    """Return the plan of a comparison. Results of the window that are stored already are reused.

    Raises:
        Invalid: the versions answer different questions, or there is nothing to judge.
    """
    if a.fingerprint == b.fingerprint:
        raise Invalid("Both versions judge in the same way; compare with another version.", attr="version_b")
    if a.question != b.question:
        raise Invalid(
            "The versions answer different questions, so their verdicts cannot be compared.", attr="version_b"
        )
    run_id = str(uuid4())
    if body.source != "window":
        fixed = _fixed(services, evaluation, body, (a, b))[: body.size]
        params = {**_source_params(body), "margin": body.margin}
        return MeasurementPlan(run_id, "comparison", (a, b), 1, measured_items(fixed), params, tuple(fixed))
    start, end = _window(services, body)
    items = _drawn(services, evaluation, start, end, run_id, body.size)
    with services.archive.client() as client:
        for version in (a, b):
            targets = [each.event_uuid for each in items]
            stored = judged_targets(client, evaluation.team_id, evaluation.id, version.fingerprint, targets)
            known = {each.target_event_id for each in stored if not each.skipped}
            items = [
                replace(each, reused=(*each.reused, version.number)) if each.event_uuid in known else each
                for each in items
            ]
    params = {"margin": body.margin, "window_start": start.isoformat(), "window_end": end.isoformat()}
    return MeasurementPlan(run_id, "comparison", (a, b), 1, tuple(items), params)


def plan_run(
    services: Services, evaluation: Evaluation, version: Version, body: bodies.MeasurementRunCreate
) -> MeasurementPlan:
    """Return the plan of a measurement of one version. Raises `Invalid` where there is nothing to judge."""
    run_id = str(uuid4())
    repeats = body.repeats if body.kind == "consistency" else 1
    if body.kind == "measure" or body.golden_set is not None or body.dataset is not None:
        fixed = _fixed(services, evaluation, body, (version,))
        if body.kind == "consistency":
            fixed = fixed[: body.size]
        return MeasurementPlan(
            run_id, body.kind, (version,), repeats, measured_items(fixed), _source_params(body), tuple(fixed)
        )
    start, end = _window(services, body)
    items = _drawn(services, evaluation, start, end, run_id, body.size)
    params = {"window_start": start.isoformat(), "window_end": end.isoformat()}
    return MeasurementPlan(run_id, body.kind, (version,), repeats, tuple(items), params)


def start(services: Services, caller: ApiKey, evaluation: Evaluation, plan: MeasurementPlan) -> MeasurementRun:
    """Ask for a planned measurement."""
    return MeasurementRuns(services.database).create(
        NewMeasurement(
            team_id=caller.team_id,
            evaluation_id=evaluation.id,
            kind=plan.kind,
            versions=[version.number for version in plan.versions],
            repeats=plan.repeats,
            params=plan.params,
            items=plan.items,
            run_id=plan.run_id,
        ),
        actor=caller.actor,
        now=services.now(),
    )


def cost_of(services: Services, evaluation: Evaluation, plan: MeasurementPlan) -> bodies.Cost:
    """Return what a planned measurement would do, from the texts of some of its items."""
    price = load_prices(services.settings.judge.prices_path).cost
    generations = list(_some(services, evaluation.team_id, plan))
    calls = input_tokens = output_tokens = 0
    usd: float | None = 0.0
    for version in plan.versions:
        wanted = sum(version.number not in item.reused for item in plan.items) * plan.repeats
        calls += wanted
        if version.draft.prompt is None or not generations:
            continue
        try:
            resolved = services.models.resolve(
                evaluation.team_id, version.draft.model_configuration, now=services.now()
            )
        except Unresolved:
            resolved = None
        found = [services.judging.estimate(version.draft, resolved, each, price) for each in generations]
        share = wanted / len(found)
        input_tokens += round(share * sum(each.input_tokens for each in found))
        output_tokens += round(share * sum(each.output_tokens for each in found))
        costs = [each.cost_usd for each in found]
        usd = None if usd is None or None in costs else usd + share * sum(cost for cost in costs if cost is not None)
    return bodies.Cost(
        dry_run=True,
        items=len(plan.items),
        reused=sum(len(item.reused) for item in plan.items),
        calls=calls,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        usd=usd,
    )


def sum_of(a: bodies.Cost, b: bodies.Cost) -> bodies.Cost:
    """Return what two measurements would do together."""
    return bodies.Cost(
        dry_run=True,
        items=a.items + b.items,
        reused=a.reused + b.reused,
        calls=a.calls + b.calls,
        input_tokens=a.input_tokens + b.input_tokens,
        output_tokens=a.output_tokens + b.output_tokens,
        usd=None if a.usd is None or b.usd is None else a.usd + b.usd,
    )


def run_of(
    services: Services, evaluation: Evaluation, run_id: object, kinds: Iterable[MeasurementKind]
) -> MeasurementRun:
    """Return a measurement of the evaluation. Raises `NotFound`."""
    run = MeasurementRuns(services.database).get(evaluation.team_id, str(run_id))
    if run is None or run.evaluation_id != evaluation.id or run.kind not in kinds:
        raise NotFound
    return run


def newest_run(
    services: Services, evaluation: Evaluation, kind: MeasurementKind, version: int
) -> MeasurementRun | None:
    """Return the newest measurement of a version that ended with results, or None.

    Measurements of agreement count only with a golden set, because a dataset may change at any time.
    """
    runs, _ = MeasurementRuns(services.database).page(
        evaluation.team_id, evaluation.id, (kind,), limit=_RUNS_LOOKED_AT, offset=0
    )
    ended = (run for run in runs if run.state in ("completed", "incomplete") and run.done)
    if kind == "measure":
        ended = (run for run in ended if run.dataset is None)
    return next((run for run in ended if version in run.versions), None)


def cancel(services: Services, caller: ApiKey, run: MeasurementRun) -> MeasurementRun:
    """Cancel a run. Raises `Conflict` if it has ended."""
    changed = MeasurementRuns(services.database).cancel(caller.team_id, run.id, actor=caller.actor, now=services.now())
    if changed is None:
        raise NotFound
    if changed.state != "cancelled":
        raise Conflict(f"The measurement is {changed.state}; only one that runs can be cancelled.", code="wrong_state")
    return changed


def standing(run: MeasurementRun, owner: Owner) -> dict[str, Any]:
    """Return the fields that all measurements show."""
    return {
        "id": UUID(run.id),
        "evaluation": UUID(run.evaluation_id),
        "kind": run.kind,
        "state": run.state,
        "error": run.error or None,
        "versions": list(run.versions),
        "items": run.items,
        "total": run.total,
        "reused": run.reused,
        "missing": run.missing,
        "done": run.done,
        "skipped": run.skipped,
        "cost_usd": run.cost_usd,
        "dataset": None if run.dataset is None else UUID(run.dataset),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "created_by": owner(run.created_by),
    }


_Body = bodies.ComparisonCreate | bodies.MeasurementRunCreate


def _window(services: Services, body: _Body) -> tuple[datetime, datetime]:
    end = body.window_end or services.now()
    start = body.window_start or end - DEFAULT_WINDOW
    if start >= end:
        raise Invalid("window_start must be before window_end.", attr="window_start")
    return start, end


def _drawn(
    services: Services, evaluation: Evaluation, start: datetime, end: datetime, run_id: str, size: int
) -> list[MeasuredItem]:
    with services.archive.client() as client:
        drawn = draw_targets(client, evaluation.team_id, evaluation.id, start, end, run_id, size)
    if not drawn:
        raise Invalid(
            "The window has no results of this evaluation; choose another window.",
            code="no_results",
            attr="window_start",
        )
    return [MeasuredItem(f"event:{target}", target, trace) for target, trace in drawn]


def _fixed(services: Services, evaluation: Evaluation, body: _Body, versions: Sequence[Version]) -> list[GoldenItem]:
    """Return the items of the golden set or dataset that a body names, without those that a measured prompt shows."""
    if _from_dataset(body):
        return _dataset(services, evaluation, body, versions)
    if body.golden_set is None or body.golden_set_version is None:
        raise Invalid("Name a golden set and a frozen version of it.", code="required", attr="golden_set")
    return checked_golden(services, evaluation, body.golden_set, body.golden_set_version, versions)


def _dataset(services: Services, evaluation: Evaluation, body: _Body, versions: Sequence[Version]) -> list[GoldenItem]:
    store = Datasets(services.database)
    if body.dataset is None:
        raise Invalid("Name a dataset.", code="required", attr="dataset")
    if store.get(evaluation.team_id, str(body.dataset)) is None:
        raise Invalid("The team has no such dataset.", code="does_not_exist", attr="dataset")
    rows = islice(store.items(evaluation.team_id, str(body.dataset)), MAX_ITEMS)
    found = [dataset_item(row) for row in rows]
    items = without_examples(found, [each.draft.prompt or "" for each in versions])
    if not items:
        raise Invalid(
            "The dataset has no items to measure with; add items that hold a generation.",
            code="no_items",
            attr="dataset",
        )
    return items


def checked_golden(
    services: Services, evaluation: Evaluation, golden_set: UUID, number: int, versions: Sequence[Version]
) -> list[GoldenItem]:
    """Return the items of a frozen version, without those whose text is an example in a prompt that is measured.

    Raises:
        Invalid: it is not there, lacks items that were erased, or answers another question.
    """
    store = GoldenSets(services.database)
    golden = store.get(evaluation.team_id, str(golden_set))
    if golden is None or golden.evaluation_id != evaluation.id:
        raise Invalid(
            "The evaluation has no such golden set; `golden_sets/` lists them.",
            code="does_not_exist",
            attr="golden_set",
        )
    version = store.version(evaluation.team_id, golden.id, number)
    if version is None:
        raise Invalid(
            "The golden set has no such version; freeze it to make one.",
            code="does_not_exist",
            attr="golden_set_version",
        )
    if version.incomplete:
        detail = "Items of this version were erased, so its figures could not be compared; use a newer version."
        raise Invalid(detail, code="incomplete", attr="golden_set_version")
    if any(each.question != golden.question for each in versions):
        raise Invalid("The golden set answers another question.", code="other_question", attr="golden_set")
    prompts = [each.draft.prompt or "" for each in versions]
    items = without_examples(store.items(evaluation.team_id, golden.id, version.version), prompts)
    if not items:
        raise Invalid(
            "The version has no items to measure with; freeze the golden set with other items.",
            code="no_items",
            attr="golden_set_version",
        )
    return items


def _from_dataset(body: _Body) -> bool:
    if isinstance(body, bodies.ComparisonCreate):
        return body.source == "dataset"
    return body.dataset is not None and body.golden_set is None


def _source_params(body: _Body) -> dict[str, Any]:
    if _from_dataset(body):
        return {"dataset": str(body.dataset)}
    return {"golden_set": str(body.golden_set), "golden_set_version": body.golden_set_version}


def _some(services: Services, team_id: int, plan: MeasurementPlan) -> Iterable[Generation]:
    if plan.fixed:
        for item in islice(plan.fixed, _ESTIMATED):
            yield Generation(
                uuid=item.event["uuid"],
                team_id=team_id,
                event=GENERATION,
                distinct_id="",
                timestamp=datetime.fromisoformat(item.event["timestamp"]),
                properties=item.event["properties"],
            )
        return
    wanted = [item.event_uuid for item in plan.items[:_ESTIMATED]]
    with services.archive.client() as client:
        for row in newest_rows(client, RowSelection(team_id, event=GENERATION, uuids=wanted)):
            try:
                yield to_generation(row)
            except RowError:
                continue
