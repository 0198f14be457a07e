"""Golden sets as the console shows and changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.http.errors import NotFound
from api.schemas import golden_sets as bodies
from api.services import golden_sets as service
from api.services.forms import checked
from api.services.resources import Services
from storage.sql.api_keys import ApiKey
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.golden_sets import GoldenItem, GoldenSet, GoldenSets, GoldenVersion

_LISTED = 200


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """A golden set with its versions, newest first, and the name of its evaluation."""

    golden: GoldenSet
    versions: tuple[GoldenVersion, ...]
    name: str


def rows(services: Services, team_id: int) -> list[GoldenRow]:
    """Return the newest 200 golden sets of a team."""
    found, _ = GoldenSets(services.database).page(team_id, limit=_LISTED, offset=0)
    return [_row(services, golden) for golden in found]


def row_of(services: Services, team_id: int, golden_id: str) -> GoldenRow:
    """Return one golden set. Raises `NotFound`."""
    golden = GoldenSets(services.database).get(team_id, golden_id)
    if golden is None:
        raise NotFound
    return _row(services, golden)


def candidates(services: Services, row: GoldenRow) -> list[service.GoldenCandidate]:
    """Return the items that a freeze would store now."""
    return service.candidates(services, row.golden)


def create(services: Services, caller: ApiKey, fields: Mapping[str, Any]) -> GoldenSet:
    """Store a golden set. Raises `Invalid` and `NotFound`."""
    return service.create(services, caller, checked(bodies.GoldenSetCreate, fields))


def freeze(services: Services, caller: ApiKey, row: GoldenRow) -> tuple[int, int]:
    """Store the next version; return its number and how many generations the archive lacks. Raises `Invalid`."""
    version, missing = service.freeze(services, caller, row.golden)
    return version.version, missing


def delete(services: Services, caller: ApiKey, row: GoldenRow) -> None:
    """Hide a golden set; its versions stay."""
    service.change(services, caller, row.golden, bodies.GoldenSetPatch(deleted=True))


def items(services: Services, row: GoldenRow, version: int, *, limit: int, offset: int) -> list[GoldenItem]:
    """Return items of a frozen version, in their order. Raises `NotFound`."""
    _check(row, version)
    store = GoldenSets(services.database)
    return list(store.items(row.golden.team_id, row.golden.id, version, limit=limit, offset=offset))


def diff(services: Services, row: GoldenRow, before: int, after: int) -> bodies.GoldenDiff:
    """Return what changed between two versions. Raises `NotFound`."""
    store = GoldenSets(services.database)
    for version in (before, after):
        _check(row, version)
    old, new = (store.items(row.golden.team_id, row.golden.id, version) for version in (before, after))
    return service.diff(old, new)


def _check(row: GoldenRow, version: int) -> None:
    if version not in {each.version for each in row.versions}:
        raise NotFound


def _row(services: Services, golden: GoldenSet) -> GoldenRow:
    versions = GoldenSets(services.database).versions(golden.team_id, golden.id)
    try:
        name = services.evaluations.get(golden.team_id, golden.evaluation_id).name
    except EvaluationNotFound:
        name = "a deleted evaluation"
    return GoldenRow(golden, tuple(sorted(versions, key=lambda each: -each.version)), name)
