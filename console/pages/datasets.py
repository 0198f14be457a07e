"""Datasets of a team: their items, and the runs over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from starlette.responses import RedirectResponse, Response

from api.http.errors import Throttled, Unavailable
from api.services.dataset_desk import DatasetRunKind, runs_of, start
from api.services.datasets import dataset_page, item_page
from api.services.definitions import find
from api.services.jobs import MeasurementJob
from api.services.trust.run_outcomes import VersionOutcome, outcomes_of
from console.pages.registry import Page, post
from console.render import page
from console.visit import Visit, read_number

_READ = "evaluation:read"
_KINDS = {"measure": "Judge each item once", "consistency": "Judge each item several times",
          "comparison": "Compare two versions"}  # fmt: skip
_NUMBERS = ("version", "other", "repeats")
_NOT_READ: Sequence[MeasurementJob] = ()


def show_datasets(visit: Visit) -> Response:
    """Show the team's datasets."""
    found, cursor = dataset_page(visit.services, visit.team, visit.query("cursor"))
    return page(visit, "datasets.html", found=found, cursor=cursor)


def show_dataset(visit: Visit) -> Response:
    """Show one dataset with its runs and its items, newest first."""
    return _shown(visit)


def start_run(visit: Visit) -> Response:
    """Show what a run over the dataset would cost, or start it."""
    visit.need("dataset:read")
    dataset, _, _ = item_page(visit.services, visit.team, visit.path["dataset"], "")
    evaluation = find(visit.services, visit.reader.key, visit.outlines.named(visit.field("evaluation")))
    kind = visit.field("kind") if visit.field("kind") in _KINDS else "measure"
    version, other, repeats = (read_number(visit.field(name)) for name in _NUMBERS)
    fields: dict[str, Any] = {"version": version}
    if kind == "comparison":
        fields = {"version_a": other, "version_b": version}
    elif kind == "consistency":
        fields["repeats"] = repeats
    dry_run = visit.field("action") != "start"
    made: Any = start(
        visit.services,
        visit.reader.key,
        evaluation,
        dataset["id"],
        cast("DatasetRunKind", kind),
        fields,
        dry_run=dry_run,
    )
    if dry_run:
        asked = {"evaluation": evaluation.id, "kind": kind} | {name: visit.field(name) for name in _NUMBERS}
        return _shown(visit, dry=made, asked=asked)
    place = "comparisons" if kind == "comparison" else "trust"
    return RedirectResponse(visit.link(f"evaluations/{evaluation.id}/{place}/{made.id}/"), 303)


def _shown(visit: Visit, *, dry: Any = None, asked: Mapping[str, str] | None = None) -> Response:
    dataset, items, cursor = item_page(visit.services, visit.team, visit.path["dataset"], visit.query("cursor"))
    runs, older = _NOT_READ, None
    if visit.may(_READ):
        runs, older = runs_of(visit.services, visit.team, dataset["id"], visit.query("runs"))
    return page(
        visit,
        "dataset.html",
        dataset=dataset,
        items=items,
        cursor=cursor,
        runs=runs,
        older=older,
        outcomes=_outcomes(visit, runs),
        outlines=visit.outlines if visit.may(_READ) else [],
        kinds=_KINDS,
        dry=dry,
        asked=asked or dict.fromkeys(("evaluation", "kind", *_NUMBERS), ""),
    )


def _outcomes(visit: Visit, runs: Sequence[MeasurementJob]) -> Mapping[str, Sequence[VersionOutcome]] | None:
    """Return the outcomes of runs by their ids; None while ClickHouse does not answer, because the rest is known."""
    try:
        return outcomes_of(visit.services, visit.team, [each.run for each in runs], visit.outlines.rules)
    except (Unavailable, Throttled):
        return None


PAGES = (
    Page("{team}/datasets/", show_datasets, "dataset:read"),
    Page("{team}/datasets/{dataset}/", show_dataset, "dataset:read"),
    post("{team}/datasets/{dataset}/", start_run, "evaluation:write", slow=()),
)
