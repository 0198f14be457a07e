"""`golden_sets`: generations with expected verdicts, frozen in versions that never change."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, status

from api.http.auth import Scoped
from api.http.errors import NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath
from api.schemas import golden_sets as bodies
from api.services import golden_sets as service
from api.services.resources import Services
from storage.sql.api_keys import ApiKey
from storage.sql.golden_sets import GoldenSet, GoldenSets, GoldenVersion

router = APIRouter(route_class=OneHopRoute, tags=["labels"])

Reader = Annotated[ApiKey, Scoped("label:read")]
Writer = Annotated[ApiKey, Scoped("label:write")]
VersionPath = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of a frozen version.")]
OtherPath = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the version to compare with.")]


@router.get("/golden_sets/")
def list_golden_sets(caller: Reader, services: ServicesParam, window: WindowParam) -> Page[bodies.GoldenSet]:
    """List the golden sets, newest first."""
    store = GoldenSets(services.database)
    found, count = store.page(caller.team_id, limit=window.limit, offset=window.offset)
    return window.page([_shown(services, golden) for golden in found], count)


@router.post("/golden_sets/", status_code=status.HTTP_201_CREATED)
def create_golden_set(
    body: bodies.GoldenSetCreate, caller: Reader, _writing: Writer, services: ServicesParam
) -> bodies.GoldenSet:
    """Say what a golden set is made of: labels, datasets, or both."""
    return _shown(services, service.create(services, caller, body))


@router.get("/golden_sets/{id}/")
def retrieve_golden_set(object_id: IdPath, caller: Reader, services: ServicesParam) -> bodies.GoldenSet:
    """Return one golden set with its versions."""
    return _shown(services, _found(services, caller, object_id))


@router.patch("/golden_sets/{id}/")
def update_golden_set(
    object_id: IdPath, body: bodies.GoldenSetPatch, caller: Reader, _writing: Writer, services: ServicesParam
) -> bodies.GoldenSet:
    """Change what the next version is made of."""
    return _shown(services, service.change(services, caller, _found(services, caller, object_id), body))


@router.delete("/golden_sets/{id}/", status_code=status.HTTP_204_NO_CONTENT)
def delete_golden_set(object_id: IdPath, caller: Reader, _writing: Writer, services: ServicesParam) -> None:
    """Hide a golden set. Its versions stay."""
    found = _found(services, caller, object_id)
    service.change(services, caller, found, bodies.GoldenSetPatch(deleted=True))


@router.get("/golden_sets/{id}/items/")
def list_golden_items(
    object_id: IdPath, caller: Reader, services: ServicesParam, window: WindowParam
) -> Page[bodies.GoldenItemShown]:
    """List the items that a freeze would store now, without their texts."""
    found = service.candidates(services, _found(services, caller, object_id))
    return window.page_of([bodies.GoldenItemShown.model_validate(each) for each in found])


@router.post("/golden_sets/{id}/freeze/", status_code=status.HTTP_201_CREATED)
@slow
def freeze_golden_set(object_id: IdPath, caller: Reader, _writing: Writer, services: ServicesParam) -> bodies.Frozen:
    """Store the items as the next version, each of them completely."""
    version, missing = service.freeze(services, caller, _found(services, caller, object_id))
    shown = service.version_shown(version, services.owners.of([version.created_by]))
    return bodies.Frozen(**dict(shown), missing=missing)


@router.get("/golden_sets/{id}/versions/{version}/")
def retrieve_golden_version(
    object_id: IdPath, version: VersionPath, caller: Reader, services: ServicesParam, window: WindowParam
) -> bodies.GoldenVersionItems:
    """Return a frozen version with a page of its items."""
    found = _version(services, caller, object_id, version)
    items = GoldenSets(services.database).items(
        caller.team_id, str(object_id), version, limit=window.limit, offset=window.offset
    )
    page = window.page([bodies.GoldenItemWhole.model_validate(item) for item in items], found.items)
    shown = service.version_shown(found, services.owners.of([found.created_by]))
    return bodies.GoldenVersionItems(**dict(shown), **dict(page))


@router.get("/golden_sets/{id}/versions/{version}/diff/{other}/")
def compare_golden_versions(
    object_id: IdPath, version: VersionPath, other: OtherPath, caller: Reader, services: ServicesParam
) -> bodies.GoldenDiff:
    """Return which items were added, removed, or have another expected verdict."""
    for number in (version, other):
        _version(services, caller, object_id, number)
    store = GoldenSets(services.database)
    before, after = (store.items(caller.team_id, str(object_id), number) for number in (version, other))
    return service.diff(before, after)


@router.post("/golden_sets/erase/")
def erase_golden_items(body: bodies.Erase, caller: Reader, _writing: Writer, services: ServicesParam) -> bodies.Erased:
    """Erase a person's items from all versions of the team. Each version that held any is incomplete from now on."""
    made = GoldenSets(services.database).erase(caller.team_id, body.distinct_id, actor=caller.actor, now=services.now())
    return bodies.Erased(replaced=[UUID(version.golden_set_id) for version in made])


def _found(services: Services, caller: ApiKey, golden_id: UUID) -> GoldenSet:
    golden = GoldenSets(services.database).get(caller.team_id, str(golden_id))
    if golden is None:
        raise NotFound
    return golden


def _version(services: Services, caller: ApiKey, golden_id: UUID, number: int) -> GoldenVersion:
    _found(services, caller, golden_id)
    version = GoldenSets(services.database).version(caller.team_id, str(golden_id), number)
    if version is None:
        raise NotFound
    return version


def _shown(services: Services, golden: GoldenSet) -> bodies.GoldenSet:
    versions = GoldenSets(services.database).versions(golden.team_id, golden.id)
    owner = services.owners.of([golden.created_by, *(version.created_by for version in versions)])
    return service.shown(golden, versions, owner)
