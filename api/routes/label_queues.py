"""`label_queues`: samples of results that people label, one item at a time."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response, status

from api.http.auth import Scoped
from api.http.errors import NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath
from api.schemas import label_queues as bodies
from api.services import label_items, label_queues
from api.services.resources import Services
from storage.sql.api_keys import ApiKey
from storage.sql.label_queues import LabelQueues, Queue

router = APIRouter(route_class=OneHopRoute, tags=["labels"])

Reader = Annotated[ApiKey, Scoped("label:read")]
Writer = Annotated[ApiKey, Scoped("label:write")]
ItemPath = Annotated[UUID, Path(description="A UUID string identifying the item.")]
_NOTHING_LEFT: dict[int | str, dict[str, Any]] = {
    204: {"description": "Nothing is left to label for this labeller.", "model": None}
}


@router.get("/label_queues/")
def list_label_queues(
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    evaluation: Annotated[UUID | None, Query(description="Only queues of this evaluation.")] = None,
) -> Page[bodies.LabelQueue]:
    """List the queues, newest first."""
    found, count = LabelQueues(services.database).page(
        caller.team_id, evaluation_id=str(evaluation) if evaluation else None, limit=window.limit, offset=window.offset
    )
    owner = services.owners.of(queue.created_by for queue in found)
    return window.page(label_queues.shown(services, found, owner), count)


@router.post("/label_queues/", status_code=status.HTTP_201_CREATED)
@slow
def create_label_queue(
    body: bodies.LabelQueueCreate, caller: Reader, _writing: Writer, services: ServicesParam
) -> bodies.LabelQueue:
    """Draw a sample of results to be labelled. Window, version and strata are fixed from now on."""
    return _shown(services, label_queues.create(services, caller, body))


@router.get("/label_queues/{id}/")
def retrieve_label_queue(object_id: IdPath, caller: Reader, services: ServicesParam) -> bodies.LabelQueue:
    """Return one queue."""
    return _shown(services, _found(services, caller, object_id))


@router.patch("/label_queues/{id}/")
def update_label_queue(
    object_id: IdPath, body: bodies.LabelQueuePatch, caller: Reader, _writing: Writer, services: ServicesParam
) -> bodies.LabelQueue:
    """Rename a queue, extend it, or hide it with `deleted`."""
    return _shown(services, label_queues.change(services, caller, str(object_id), body))


@router.delete("/label_queues/{id}/", status_code=status.HTTP_204_NO_CONTENT)
def delete_label_queue(object_id: IdPath, caller: Reader, _writing: Writer, services: ServicesParam) -> None:
    """Hide a queue. Its labels stay, with how their items were drawn."""
    label_queues.change(services, caller, str(object_id), bodies.LabelQueuePatch(deleted=True))


@router.post("/label_queues/{id}/next/", response_model=bodies.ItemToLabel, responses=_NOTHING_LEFT)
def next_label_item(object_id: IdPath, caller: Writer, services: ServicesParam) -> bodies.ItemToLabel | Response:
    """Hold the next item for 15 minutes and return what a labeller sees of it; 204 if nothing is left."""
    found = label_items.next_item(services, caller, str(object_id))
    return Response(status_code=status.HTTP_204_NO_CONTENT) if found is None else found


@router.post("/label_queues/{id}/items/{item}/label/", status_code=status.HTTP_201_CREATED)
def label_item(
    object_id: IdPath, item: ItemPath, body: bodies.ItemLabel, caller: Writer, services: ServicesParam
) -> bodies.ItemLabelled:
    """Label an item that the caller holds, or correct the caller's label of it. 409 if the lease is lost."""
    return label_items.answer(services, caller, str(object_id), str(item), body)


@router.post("/label_queues/{id}/items/{item}/skip/", status_code=status.HTTP_204_NO_CONTENT)
def skip_item(object_id: IdPath, item: ItemPath, caller: Writer, services: ServicesParam) -> None:
    """Pass an item on to others. 409 if the lease is lost."""
    label_items.skip(services, caller, str(object_id), str(item))


@router.get("/label_queues/{id}/progress/")
def label_queue_progress(object_id: IdPath, caller: Reader, services: ServicesParam) -> bodies.QueueProgress:
    """Return how far a queue is, and how far its labellers agree."""
    return label_queues.progress(services, _found(services, caller, object_id))


def _found(services: Services, caller: ApiKey, queue_id: UUID) -> Queue:
    queue = LabelQueues(services.database).get(caller.team_id, str(queue_id))
    if queue is None:
        raise NotFound
    return queue


def _shown(services: Services, queue: Queue) -> bodies.LabelQueue:
    [shown] = label_queues.shown(services, [queue], services.owners.of([queue.created_by]))
    return shown
