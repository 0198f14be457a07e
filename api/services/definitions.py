"""Evaluations as clients define them: found, created and changed in one way, for the API and the console alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api.http.concurrency import etag
from api.http.errors import Conflict, Invalid, NotFound, PreconditionFailed
from api.services.resources import Services
from config.definition_errors import DefinitionError
from config.definitions import Evaluation, EvaluationDraft, parse_draft, patch_draft
from storage.sql.api_keys import ApiKey
from storage.sql.audit import AuditEntry
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.evaluations import EvaluationConflict, EvaluationVersion, Expected


def find(services: Services, caller: ApiKey, evaluation_id: object) -> Evaluation:
    """Return an evaluation of the caller's team. Raises `NotFound`."""
    return evaluation_of(services, caller.team_id, evaluation_id)


def evaluation_of(services: Services, team_id: int, evaluation_id: object) -> Evaluation:
    """Return an evaluation of a team. Raises `NotFound`."""
    try:
        return services.evaluations.get(team_id, str(evaluation_id))
    except EvaluationNotFound as error:
        raise NotFound from error


def refused(error: DefinitionError) -> Invalid:
    """Return what the API says of a definition that cannot be used."""
    code = "invalid_input" if error.code == "invalid" else error.code
    return Invalid(error.message, code=code, attr=error.attr or None)


def versions_of(services: Services, caller: ApiKey, evaluation_id: object) -> list[EvaluationVersion]:
    """Return all versions of an evaluation, newest first; also of a deleted one. Raises `NotFound`."""
    try:
        return services.evaluations.versions(caller.team_id, str(evaluation_id))
    except EvaluationNotFound as error:
        raise NotFound from error


def history_of(services: Services, caller: ApiKey, evaluation_id: object) -> list[AuditEntry]:
    """Return the last 100 changes of an evaluation, newest first; none of another team's."""
    return services.evaluations.history(caller.team_id, str(evaluation_id))


def create(services: Services, caller: ApiKey, draft: EvaluationDraft) -> Evaluation:
    """Store a new evaluation. Raises `Invalid`."""
    services.models.check_enabled(caller.team_id, draft, now=services.now())
    try:
        return services.evaluations.create(caller.team_id, draft, actor=caller.actor, now=services.now())
    except DefinitionError as error:
        raise refused(error) from error


def change(
    services: Services,
    caller: ApiKey,
    evaluation_id: object,
    changes: Callable[[Evaluation], EvaluationDraft],
    *,
    expected: Expected,
    only_version: int | None = None,
    include_deleted: bool = False,
    new_question: bool = False,
) -> Evaluation:
    """Replace what a person defines by what `changes` makes of it, and return the evaluation.

    Args:
        expected: the state that the change is meant for; 412 if it is another.
        only_version: the version that it is meant for, as a field of the body names it; 409 if it is another.
        new_question: see `Evaluations.update`.

    Raises:
        ApiError: it is not there, has changed meanwhile, or the definition cannot be used.
    """
    repository = services.evaluations

    def at_version(current: Evaluation) -> EvaluationDraft:
        if only_version not in (None, current.version):
            detail = f"The evaluation is at version {current.version}; read it again and repeat the change."
            raise Conflict(detail, code="version_conflict", attr="version")
        return changes(current)

    try:
        current = repository.get(caller.team_id, str(evaluation_id), include_deleted=include_deleted)
        # Outside of the change's transaction: finding a key may write, and asks more than one question.
        _check_model(services, caller, current, at_version(current))
        return repository.update(
            caller.team_id,
            str(evaluation_id),
            at_version,
            actor=caller.actor,
            now=services.now(),
            expected=expected,
            include_deleted=include_deleted,
            new_question=new_question,
        )
    except EvaluationNotFound as error:
        raise NotFound from error
    except DefinitionError as error:
        raise refused(error) from error
    except EvaluationConflict as error:
        detail = f"The evaluation is at {etag(error.current)}; read it again and repeat the change."
        raise PreconditionFailed(detail) from error


def parse(raw: dict[str, Any]) -> EvaluationDraft:
    """Return a definition as a client wrote it. Raises `Invalid`."""
    try:
        return parse_draft(raw)
    except DefinitionError as error:
        raise refused(error) from error


def patch(current: Evaluation, changes: dict[str, Any]) -> EvaluationDraft:
    """Return a definition with some fields changed. Raises `Invalid`."""
    try:
        return patch_draft(current, changes)
    except DefinitionError as error:
        raise refused(error) from error


def _check_model(services: Services, caller: ApiKey, current: Evaluation, draft: EvaluationDraft) -> None:
    if draft.enabled and (not current.enabled or draft.judging() != current.judging()):
        services.models.check_enabled(caller.team_id, draft, now=services.now())
    elif draft.model_configuration != current.model_configuration:
        # A key that was deleted must not keep anybody from renaming, disabling or deleting what named it.
        services.models.check_key(caller.team_id, draft)
