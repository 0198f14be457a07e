"""`evaluations`: create, read and change them, and read their earlier versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response, status

from api.http.auth import Scoped
from api.http.concurrency import ExpectedParam, etag
from api.http.errors import MethodNotAllowed, NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.routes.parameters import IdPath, IdsParam, OrderParam, SearchParam
from api.schemas import evaluations as bodies
from api.services.definitions import change, create, find, parse, patch
from api.services.resources import Services
from api.services.trust.warnings import warnings_on_enabling
from config.definitions import Evaluation, EvaluationDraft, EvaluationType
from storage.sql.api_keys import ApiKey
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.evaluation_queries import EvaluationQuery
from storage.sql.evaluations import Expected

router = APIRouter(route_class=OneHopRoute, tags=["evaluations"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
Writer = Annotated[ApiKey, Scoped("evaluation:write")]


@router.get("/evaluations/")
def list_evaluations(
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    ids: IdsParam,
    order_by: OrderParam,
    enabled: Annotated[bool | None, Query(description="Filter by enabled status")] = None,
    evaluation_type: Annotated[EvaluationType | None, Query(description="Filter by type")] = None,
    search: SearchParam = "",
) -> Page[bodies.Evaluation]:
    """List the team's evaluations."""
    query = EvaluationQuery(
        enabled=enabled,
        ids=ids,
        evaluation_type=evaluation_type,
        search=search,
        order_by=order_by,
        limit=window.limit,
        offset=window.offset,
    )
    found = services.evaluations.page(caller.team_id, query)
    return window.page(services.views.of(caller.team_id, found.results), found.count)


@router.post("/evaluations/", status_code=status.HTTP_201_CREATED)
def create_evaluation(
    body: bodies.EvaluationCreate, caller: Writer, services: ServicesParam, response: Response
) -> bodies.Evaluation:
    """Make an evaluation."""
    return _after(None, create(services, caller, parse(_fields(body))), services, response)


@router.get("/evaluations/{id}/")
def retrieve_evaluation(
    object_id: IdPath, caller: Reader, services: ServicesParam, response: Response
) -> bodies.Evaluation:
    """Return one evaluation."""
    return _shown(find(services, caller, object_id), services, response)


@router.patch("/evaluations/{id}/")
def update_evaluation(
    object_id: IdPath,
    body: bodies.EvaluationPatch,
    caller: Writer,
    services: ServicesParam,
    expected: ExpectedParam,
    response: Response,
) -> bodies.Evaluation:
    """Change an evaluation. A change of judging makes a new version."""
    changes = _fields(body)

    def change_of(current: Evaluation) -> EvaluationDraft:
        return patch(current, changes)

    return _changed(object_id, body, change_of, caller, services, expected, response)


@router.put("/evaluations/{id}/")
def replace_evaluation(
    object_id: IdPath,
    body: bodies.EvaluationCreate,
    caller: Writer,
    services: ServicesParam,
    expected: ExpectedParam,
    response: Response,
) -> bodies.Evaluation:
    """Replace an evaluation: fields that are left out get their defaults."""
    draft = parse(_fields(body))
    return _changed(object_id, body, lambda _current: draft, caller, services, expected, response)


@router.delete("/evaluations/{id}/", status_code=status.HTTP_405_METHOD_NOT_ALLOWED)
def delete_evaluation(object_id: IdPath, caller: Writer) -> None:  # noqa: ARG001  # who may not even ask gets 403
    """Hard delete of this model is not allowed. Use a patch API call to set "deleted" to true."""
    raise MethodNotAllowed(
        'Hard delete is not allowed. Send PATCH {"deleted": true}.', headers={"Allow": "GET, PUT, PATCH"}
    )


@router.get("/evaluations/{id}/versions/")
def list_versions(
    object_id: IdPath, caller: Reader, services: ServicesParam, window: WindowParam
) -> Page[bodies.EvaluationVersion]:
    """List what each version judged with, newest first; also of a deleted evaluation."""
    try:
        found = services.evaluations.versions(caller.team_id, str(object_id))
    except EvaluationNotFound as error:
        raise NotFound from error
    part = found[window.offset : window.offset + window.limit]
    owner = services.owners.of(version.created_by for version in part)
    shown = [
        bodies.EvaluationVersion.model_validate(
            {
                **version.definition,
                "version": version.version,
                "fingerprint": version.fingerprint,
                "question": version.question,
                "created_at": version.created_at,
                "created_by": owner(version.created_by),
            }
        )
        for version in part
    ]
    return window.page(shown, len(found))


@router.get("/evaluations/{id}/history/")
def list_history(object_id: IdPath, caller: Reader, services: ServicesParam) -> list[bodies.AuditEntry]:
    """List who changed what and when, newest first, the last 100 changes."""
    found = services.evaluations.history(caller.team_id, str(object_id))
    if not found:
        raise NotFound
    owner = services.owners.of(entry.actor for entry in found)
    return [
        bodies.AuditEntry(
            action=entry.action, at=entry.at, actor=entry.actor, by=owner(entry.actor), changes=dict(entry.changes)
        )
        for entry in found
    ]


def _changed(
    object_id: IdPath,
    body: bodies.EvaluationPatch,
    change_of: Callable[[Evaluation], EvaluationDraft],
    caller: ApiKey,
    services: Services,
    expected: Expected,
    response: Response,
) -> bodies.Evaluation:
    before: list[Evaluation] = []

    def noted(current: Evaluation) -> EvaluationDraft:
        before[:] = [current]  # if another change comes first, this runs once more
        return change_of(current)

    evaluation = change(
        services,
        caller,
        object_id,
        noted,
        expected=expected,
        only_version=body.version,
        # A deleted evaluation is gone for every change but the one that brings it back.
        include_deleted=body.given().get("deleted") is False,
        new_question=body.new_question,
    )
    return _after(before[0], evaluation, services, response)


def _after(
    before: Evaluation | None, evaluation: Evaluation, services: Services, response: Response
) -> bodies.Evaluation:
    warnings = warnings_on_enabling(services, before, evaluation)
    return _shown(evaluation, services, response).model_copy(update={"warnings": warnings})


def _fields(body: bodies.EvaluationPatch) -> dict[str, Any]:
    """Return the fields of a definition that the client sent."""
    given = body.given()
    given.pop("version", None)
    given.pop("new_question", None)
    return given


def _shown(evaluation: Evaluation, services: Services, response: Response) -> bodies.Evaluation:
    response.headers["ETag"] = etag(evaluation)
    [shown] = services.views.of(evaluation.team_id, [evaluation])
    return shown
