"""`datasets` and `dataset_items`: create, read, change; a delete is a change."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, status
from sqlalchemy import RowMapping

from api.http.auth import Scoped
from api.http.errors import HardDelete, Invalid, NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.routes.parameters import IdPath, IdsParam, OrderParam, SearchParam
from api.schemas.datasets import (
    Dataset,
    DatasetCreate,
    DatasetItem,
    DatasetItemCreate,
    DatasetItemPatch,
    DatasetPatch,
    columns,
    replacement,
)
from api.services.owners import Owner
from storage.sql.api_keys import ApiKey
from storage.sql.datasets import DatasetQuery, Datasets, UnknownDataset

router = APIRouter(route_class=OneHopRoute, tags=["datasets"])

Reader = Annotated[ApiKey, Scoped("dataset:read")]
Writer = Annotated[ApiKey, Scoped("dataset:write")]


@router.get("/datasets/")
def list_datasets(
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    ids: IdsParam,
    order_by: OrderParam,
    search: SearchParam = "",
) -> Page[Dataset]:
    """List the team's datasets."""
    query = DatasetQuery(ids=ids, search=search or None, order_by=order_by)
    repository = Datasets(services.database)
    rows, count = repository.page(caller.team_id, query, limit=window.limit, offset=window.offset)
    owner = services.owners.of(row["created_by"] for row in rows)
    return window.page([_dataset(row, owner) for row in rows], count)


@router.post("/datasets/", status_code=status.HTTP_201_CREATED)
def create_dataset(body: DatasetCreate, caller: Writer, services: ServicesParam) -> Dataset:
    """Make a dataset."""
    row = Datasets(services.database).create(
        caller.team_id, columns(body.given()), actor=caller.actor, now=services.now()
    )
    return _dataset(row, services.owners.of([row["created_by"]]))


@router.get("/datasets/{id}/")
def retrieve_dataset(object_id: IdPath, caller: Reader, services: ServicesParam) -> Dataset:
    """Return one dataset."""
    return _found_dataset(Datasets(services.database).get(caller.team_id, str(object_id)), services)


@router.patch("/datasets/{id}/")
def update_dataset(object_id: IdPath, body: DatasetPatch, caller: Writer, services: ServicesParam) -> Dataset:
    """Change a dataset."""
    row = Datasets(services.database).update(
        caller.team_id, str(object_id), columns(body.given()), actor=caller.actor, now=services.now()
    )
    return _found_dataset(row, services)


@router.put("/datasets/{id}/")
def replace_dataset(object_id: IdPath, body: DatasetCreate, caller: Writer, services: ServicesParam) -> Dataset:
    """Replace a dataset: fields that are left out get their defaults."""
    row = Datasets(services.database).update(
        caller.team_id, str(object_id), columns(replacement(body)), actor=caller.actor, now=services.now()
    )
    return _found_dataset(row, services)


@router.delete("/datasets/{id}/", status_code=status.HTTP_405_METHOD_NOT_ALLOWED)
def delete_dataset(object_id: IdPath, caller: Writer) -> None:  # noqa: ARG001  # who may not even ask gets 403
    """Hard delete of this model is not allowed. Use a patch API call to set "deleted" to true."""
    raise HardDelete


@router.get("/dataset_items/")
def list_dataset_items(
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    dataset: Annotated[UUID | None, Query(description="Filter by dataset ID")] = None,
) -> Page[DatasetItem]:
    """List the items of one dataset, or of all."""
    rows, count = Datasets(services.database).items_page(
        caller.team_id, dataset_id=str(dataset) if dataset else None, limit=window.limit, offset=window.offset
    )
    owner = services.owners.of(row["created_by"] for row in rows)
    return window.page([_item(row, owner) for row in rows], count)


@router.post("/dataset_items/", status_code=status.HTTP_201_CREATED)
def create_dataset_item(body: DatasetItemCreate, caller: Writer, services: ServicesParam) -> DatasetItem:
    """Add an item to a dataset."""
    try:
        row = Datasets(services.database).create_item(
            caller.team_id, columns(body.given()), actor=caller.actor, now=services.now()
        )
    except UnknownDataset as error:
        raise _unknown_dataset(error) from error
    return _item(row, services.owners.of([row["created_by"]]))


@router.get("/dataset_items/{id}/")
def retrieve_dataset_item(object_id: IdPath, caller: Reader, services: ServicesParam) -> DatasetItem:
    """Return one item."""
    return _found_item(Datasets(services.database).get_item(caller.team_id, str(object_id)), services)


@router.patch("/dataset_items/{id}/")
def update_dataset_item(
    object_id: IdPath,
    body: DatasetItemPatch,
    caller: Writer,
    services: ServicesParam,
) -> DatasetItem:
    """Change an item."""
    return _changed_item(object_id, body.given(), caller, services)


@router.put("/dataset_items/{id}/")
def replace_dataset_item(
    object_id: IdPath,
    body: DatasetItemCreate,
    caller: Writer,
    services: ServicesParam,
) -> DatasetItem:
    """Replace an item: fields that are left out get their defaults."""
    return _changed_item(object_id, replacement(body), caller, services)


@router.delete("/dataset_items/{id}/", status_code=status.HTTP_405_METHOD_NOT_ALLOWED)
def delete_dataset_item(object_id: IdPath, caller: Writer) -> None:  # noqa: ARG001  # who may not even ask gets 403
    """Hard delete of this model is not allowed. Use a patch API call to set "deleted" to true."""
    raise HardDelete


def _changed_item(item_id: UUID, given: dict[str, Any], caller: ApiKey, services: ServicesParam) -> DatasetItem:
    if "dataset" in given and given["dataset"] is None:
        raise Invalid("This field may not be null.", code="null", attr="dataset")
    try:
        row = Datasets(services.database).update_item(
            caller.team_id, str(item_id), columns(given), actor=caller.actor, now=services.now()
        )
    except UnknownDataset as error:
        raise _unknown_dataset(error) from error
    return _found_item(row, services)


def _unknown_dataset(error: UnknownDataset) -> Invalid:
    return Invalid(f'Invalid pk "{error.args[0]}" - object does not exist.', code="does_not_exist", attr="dataset")


def _found_dataset(row: RowMapping | None, services: ServicesParam) -> Dataset:
    if row is None:
        raise NotFound
    return _dataset(row, services.owners.of([row["created_by"]]))


def _found_item(row: RowMapping | None, services: ServicesParam) -> DatasetItem:
    if row is None:
        raise NotFound
    return _item(row, services.owners.of([row["created_by"]]))


def _dataset(row: RowMapping, owner: Owner) -> Dataset:
    return Dataset.model_validate({**row, "created_by": owner(row["created_by"]), "team": row["team_id"]})


def _item(row: RowMapping, owner: Owner) -> DatasetItem:
    return DatasetItem.model_validate({**row, "created_by": owner(row["created_by"]), "team": row["team_id"]})
