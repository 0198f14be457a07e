"""`labels`: the verdicts of people on generations. Labels are added and read, and never changed."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, status
from fastapi.responses import StreamingResponse

from api.http.auth import Scoped
from api.http.errors import Invalid, MethodNotAllowed, NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.routes.parameters import AfterParam, BeforeParam, IdPath
from api.schemas import labels as bodies
from api.services import labels as service
from api.services.label_export import as_csv, as_jsonl
from storage.sql.api_keys import ApiKey
from storage.sql.labels import LabelQuery, Labels

router = APIRouter(route_class=OneHopRoute, tags=["labels"])

Reader = Annotated[ApiKey, Scoped("label:read")]
Writer = Annotated[ApiKey, Scoped("label:write")]

_UNCHANGEABLE = "Labels never change; POST a new label, and your newest one of a target counts."
_ALLOWED = {"Allow": "GET"}
_Text = Query(max_length=254)
_Evaluation = Annotated[UUID | None, Query(description="Only labels of this evaluation.")]


@router.get("/labels/")
def list_labels(
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    evaluation: _Evaluation = None,
    target_event_id: Annotated[str | None, _Text] = None,
    labeller: Annotated[str | None, _Text] = None,
    after: AfterParam = None,
    before: BeforeParam = None,
) -> Page[bodies.Label]:
    """List labels, newest first."""
    query = LabelQuery(str(evaluation) if evaluation else None, target_event_id, labeller, after, before)
    found, count = Labels(services.database).page(caller.team_id, query, limit=window.limit, offset=window.offset)
    return window.page([service.shown(label) for label in found], count)


@router.post("/labels/", status_code=status.HTTP_201_CREATED)
def create_labels(
    body: bodies.LabelsCreate, caller: Writer, services: ServicesParam
) -> bodies.Label | bodies.LabelsCreated:
    """Add one label, or up to 1 000 together. A label whose `client_id` is known is answered and not stored again."""
    if body.labels is None:
        for name in ("evaluation", "target_event_id", "verdict"):
            if getattr(body, name) is None:
                raise Invalid("This field is required.", code="required", attr=name)
        return service.shown(service.add(services, caller, [body])[0])
    given = set(body.given()) - {"labels"}
    if given:
        raise Invalid("Send one label, or `labels`, and not both.", attr=min(given))
    return bodies.LabelsCreated(labels=[service.shown(label) for label in service.add(services, caller, body.labels)])


@router.get(
    "/labels/export/",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            }
        }
    },
)
def export_labels(
    caller: Reader,
    services: ServicesParam,
    evaluation: _Evaluation = None,
    after: AfterParam = None,
    before: BeforeParam = None,
    format: Annotated[Literal["jsonl", "csv"], Query(description="Format of the response.")] = "jsonl",  # noqa: A002  # the endpoint's public name
) -> StreamingResponse:
    """Stream all labels, oldest first, corrected ones too."""
    query = LabelQuery(str(evaluation) if evaluation else None, after=after, before=before)
    found = Labels(services.database).each(caller.team_id, query)
    if format == "csv":
        return StreamingResponse(as_csv(found), media_type="text/csv; charset=utf-8")
    return StreamingResponse(as_jsonl(found), media_type="application/x-ndjson")


@router.get("/labels/{id}/")
def retrieve_label(object_id: IdPath, caller: Reader, services: ServicesParam) -> bodies.Label:
    """Return one label."""
    label = Labels(services.database).get(caller.team_id, str(object_id))
    if label is None:
        raise NotFound
    return service.shown(label)


@router.put("/labels/{id}/", status_code=status.HTTP_405_METHOD_NOT_ALLOWED)
def replace_label(object_id: IdPath, caller: Writer) -> None:  # noqa: ARG001  # who may not even ask gets 403
    """Labels never change. Add a new one."""
    raise MethodNotAllowed(_UNCHANGEABLE, headers=_ALLOWED)


@router.patch("/labels/{id}/", status_code=status.HTTP_405_METHOD_NOT_ALLOWED)
def update_label(object_id: IdPath, caller: Writer) -> None:  # noqa: ARG001  # who may not even ask gets 403
    """Labels never change. Add a new one."""
    raise MethodNotAllowed(_UNCHANGEABLE, headers=_ALLOWED)


@router.delete("/labels/{id}/", status_code=status.HTTP_405_METHOD_NOT_ALLOWED)
def delete_label(object_id: IdPath, caller: Writer) -> None:  # noqa: ARG001  # who may not even ask gets 403
    """Labels never change. Add a new one."""
    raise MethodNotAllowed(_UNCHANGEABLE, headers=_ALLOWED)
