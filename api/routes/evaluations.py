"""`evaluations`: create, read, change, and what they were before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response, status

from api.auth import Scoped
from api.concurrency import Expected, ExpectedParam, etag
from api.errors import Conflict, Invalid, MethodNotAllowed, NotFound, PreconditionFailed
from api.evaluation_views import views
from api.owners import owners
from api.pagination import Page, WindowParam
from api.routes.parameters import IdPath, IdsParam, OrderParam, SearchParam
from api.schemas import evaluations as bodies
from api.services import Services, ServicesParam
from config.definitions import DefinitionError, Evaluation, EvaluationDraft, EvaluationType, parse_draft, patch_draft
from config.store.api_keys import ApiKey
from config.store.evaluations import EvaluationConflict, EvaluationNotFound, EvaluationQuery, Evaluations

router = APIRouter(tags=["evaluations"])

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
    found = Evaluations(services.database).page(caller.team_id, query)
    return window.page(views(services, caller.team_id, found.results), found.count)


@router.post("/evaluations/", status_code=status.HTTP_201_CREATED)
def create_evaluation(
    body: bodies.EvaluationCreate, caller: Writer, services: ServicesParam, response: Response
) -> bodies.Evaluation:
    """Make an evaluation."""
    draft = parse(_fields(body))
    services.judging.check_enabled(caller.team_id, draft, now=services.now())
    evaluation = Evaluations(services.database).create(caller.team_id, draft, actor=caller.actor, now=services.now())
    return _shown(evaluation, services, response)


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
    """Change an evaluation. What alters judging makes a new version."""
    changes = _fields(body)

    def change(current: Evaluation) -> EvaluationDraft:
        return _patch(current, changes)

    return _changed(object_id, body, change, caller, services, expected, response)


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
        found = Evaluations(services.database).versions(caller.team_id, str(object_id))
    except EvaluationNotFound as error:
        raise NotFound from error
    part = found[window.offset : window.offset + window.limit]
    owner = owners(services, (version.created_by for version in part))
    shown = [
        bodies.EvaluationVersion.model_validate(
            {
                **version.definition,
                "version": version.version,
                "fingerprint": version.fingerprint,
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
    found = Evaluations(services.database).history(caller.team_id, str(object_id))
    if not found:
        raise NotFound
    owner = owners(services, (entry.actor for entry in found))
    return [
        bodies.AuditEntry(
            action=entry.action, at=entry.at, actor=entry.actor, by=owner(entry.actor), changes=dict(entry.changes)
        )
        for entry in found
    ]


def find(services: Services, caller: ApiKey, evaluation_id: object) -> Evaluation:
    """Return an evaluation of the caller's team. Raises `NotFound`."""
    try:
        return Evaluations(services.database).get(caller.team_id, str(evaluation_id))
    except EvaluationNotFound as error:
        raise NotFound from error


def refused(error: DefinitionError) -> Invalid:
    """Return what the API says of a definition that cannot be used."""
    code = "invalid_input" if error.code == "invalid" else error.code
    return Invalid(error.message, code=code, attr=error.attr or None)


def _changed(
    object_id: IdPath,
    body: bodies.EvaluationPatch,
    change: Callable[[Evaluation], EvaluationDraft],
    caller: ApiKey,
    services: Services,
    expected: Expected,
    response: Response,
) -> bodies.Evaluation:
    repository = Evaluations(services.database)
    # A deleted evaluation is gone for every change but the one that brings it back.
    include_deleted = body.given().get("deleted") is False

    def at_version(current: Evaluation) -> EvaluationDraft:
        if body.version not in (None, current.version):
            detail = f"The evaluation is at version {current.version}; read it again and repeat the change."
            raise Conflict(detail, code="version_conflict", attr="version")
        return change(current)

    try:
        current = repository.get(caller.team_id, str(object_id), include_deleted=include_deleted)
        # Outside of the change's transaction: finding a key may write, and asks more than one question.
        _check_model(services, caller, current, at_version(current))
        evaluation = repository.update(
            caller.team_id,
            str(object_id),
            at_version,
            actor=caller.actor,
            now=services.now(),
            expected_version=expected.version,
            expected_revision=expected.revision,
            include_deleted=include_deleted,
        )
    except EvaluationNotFound as error:
        raise NotFound from error
    except EvaluationConflict as error:
        detail = f"The evaluation is at {etag(error.current)}; read it again and repeat the change."
        raise PreconditionFailed(detail) from error
    return _shown(evaluation, services, response)


def _check_model(services: Services, caller: ApiKey, current: Evaluation, draft: EvaluationDraft) -> None:
    if draft.enabled and (not current.enabled or draft.judging() != current.judging()):
        services.judging.check_enabled(caller.team_id, draft, now=services.now())
    else:
        services.judging.check_key(caller.team_id, draft)


def _fields(body: bodies.EvaluationPatch) -> dict[str, Any]:
    """Return what the client sent, without what is not part of a definition."""
    given = body.given()
    given.pop("version", None)
    return given | model_fields(given)


def model_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `model_configuration` among `given`, if any, without the name of its key, which is read-only."""
    if "model_configuration" not in given:
        return {}
    chosen = given["model_configuration"]
    if isinstance(chosen, dict):
        chosen = {name: chosen[name] for name in chosen if name != "provider_key_name"}
    return {"model_configuration": chosen}


def parse(raw: dict[str, Any]) -> EvaluationDraft:
    """Return a definition as a client wrote it. Raises `Invalid`."""
    try:
        return parse_draft(raw)
    except DefinitionError as error:
        raise refused(error) from error


def _patch(current: Evaluation, changes: dict[str, Any]) -> EvaluationDraft:
    try:
        return patch_draft(current, changes)
    except DefinitionError as error:
        raise refused(error) from error


def _shown(evaluation: Evaluation, services: Services, response: Response) -> bodies.Evaluation:
    response.headers["ETag"] = etag(evaluation)
    [shown] = views(services, evaluation.team_id, [evaluation])
    return shown
