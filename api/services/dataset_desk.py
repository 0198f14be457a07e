"""The runs over a dataset as its page lists and starts them: measurements and comparisons of its items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from api.http.errors import Invalid
from api.schemas import measurements as bodies
from api.services.cursors import read_cursor, to_cursor
from api.services.jobs import MeasurementJob, measured
from api.services.resources import Services
from api.services.trust.shown import standing_shown
from api.services.trust_desk import start_comparison, start_run
from config.definitions import Evaluation
from storage.sql.api_keys import ApiKey
from storage.sql.measurements import MeasurementRuns

DatasetRunKind = Literal["measure", "consistency", "comparison"]
_LISTED = 20


def runs_of(services: Services, team_id: int, dataset_id: str, cursor: str) -> tuple[list[MeasurementJob], str | None]:
    """Return runs over a dataset, newest first, and the cursor of the next page. Raises `Invalid`."""
    place = read_cursor(cursor)
    behind = None if place is None else (place.timestamp, place.uuid)
    found = MeasurementRuns(services.database).of_dataset(team_id, dataset_id, limit=_LISTED + 1, behind=behind)
    last = found[_LISTED - 1] if len(found) > _LISTED else None
    now = services.now()
    jobs = [measured(standing_shown(services, run), now) for run in found[:_LISTED]]
    return jobs, None if last is None else to_cursor(last.created_at, last.id)


def start(
    services: Services, caller: ApiKey, evaluation: Evaluation, dataset_id: str, kind: DatasetRunKind,
    fields: Mapping[str, Any], *, dry_run: bool,
) -> bodies.MeasurementStanding | bodies.Cost:  # fmt: skip
    """Start a run over a dataset, or return its cost.

    Args:
        fields: `version` and `repeats`, or `version_a` and `version_b` of a comparison; a version that is left out is
            the present one.

    Raises:
        Invalid: there is nothing to judge, or a field is not what it takes.
    """
    body = {**fields, "dataset": dataset_id, "dry_run": dry_run}
    if kind != "comparison":
        return start_run(services, caller, evaluation, {**body, "kind": kind})
    if not body.get("version_a"):
        raise Invalid("Name the version to compare with.", code="required", attr="version_a")
    body["version_b"] = body.get("version_b") or evaluation.version
    return start_comparison(services, caller, evaluation, {**body, "source": "dataset", "size": 2_000})
