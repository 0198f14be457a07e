"""`evaluations/{id}/backfills`: run an evaluation over the past. They are rows of the store; a runner does the work."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, status

from api.http.auth import Scoped
from api.http.errors import NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.routes.parameters import IdPath
from api.schemas import actions as bodies
from api.services.definitions import find
from api.services.jobs import change_backfill, share_of, start_backfill
from api.services.owners import Owner
from api.services.resources import Services
from config.definitions import Evaluation
from storage.sql.api_keys import ApiKey
from storage.sql.backfills import Backfill, Backfills

router = APIRouter(route_class=OneHopRoute, tags=["evaluations"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
Writer = Annotated[ApiKey, Scoped("evaluation:write")]
BackfillPath = Annotated[UUID, Path(description="A UUID string identifying the backfill.")]


@router.post("/evaluations/{id}/backfills/", status_code=status.HTTP_201_CREATED)
def create_backfill(
    object_id: IdPath, body: bodies.BackfillCreate, caller: Writer, services: ServicesParam
) -> bodies.Backfill:
    """Start a backfill. One at a time per evaluation: 409 while another is not finished."""
    evaluation = find(services, caller, object_id)
    backfill = start_backfill(
        services, caller, evaluation, body.window_start, body.window_end, rerun=body.rerun_existing
    )
    return _shown(backfill, services.owners.of([backfill.created_by]))


@router.get("/evaluations/{id}/backfills/")
def list_backfills(
    object_id: IdPath, caller: Reader, services: ServicesParam, window: WindowParam
) -> Page[bodies.Backfill]:
    """List an evaluation's backfills, newest first."""
    evaluation = find(services, caller, object_id)
    found, count = Backfills(services.database).page(
        caller.team_id, evaluation.id, limit=window.limit, offset=window.offset
    )
    owner = services.owners.of(backfill.created_by for backfill in found)
    return window.page([_shown(backfill, owner) for backfill in found], count)


@router.get("/evaluations/{id}/backfills/{backfill_id}/")
def retrieve_backfill(
    object_id: IdPath, backfill_id: BackfillPath, caller: Reader, services: ServicesParam
) -> bodies.Backfill:
    """Return one backfill with its progress."""
    backfill = _find(services, caller, find(services, caller, object_id), backfill_id)
    return _shown(backfill, services.owners.of([backfill.created_by]))


@router.post("/evaluations/{id}/backfills/{backfill_id}/cancel/")
def cancel_backfill(
    object_id: IdPath, backfill_id: BackfillPath, caller: Writer, services: ServicesParam
) -> bodies.Backfill:
    """Cancel a backfill. Its verdicts stay."""
    return _change("cancel", object_id, backfill_id, caller, services)


@router.post("/evaluations/{id}/backfills/{backfill_id}/pause/")
def pause_backfill(
    object_id: IdPath, backfill_id: BackfillPath, caller: Writer, services: ServicesParam
) -> bodies.Backfill:
    """Pause a backfill."""
    return _change("pause", object_id, backfill_id, caller, services)


@router.post("/evaluations/{id}/backfills/{backfill_id}/resume/")
def resume_backfill(
    object_id: IdPath, backfill_id: BackfillPath, caller: Writer, services: ServicesParam
) -> bodies.Backfill:
    """Let a paused backfill go on where it stopped."""
    return _change("resume", object_id, backfill_id, caller, services)


def _find(services: Services, caller: ApiKey, evaluation: Evaluation, backfill_id: UUID) -> Backfill:
    backfill = Backfills(services.database).get(caller.team_id, str(backfill_id))
    if backfill is None or backfill.evaluation_id != evaluation.id:
        raise NotFound
    return backfill


def _change(action: str, object_id: UUID, backfill_id: UUID, caller: ApiKey, services: Services) -> bodies.Backfill:
    backfill = _find(services, caller, find(services, caller, object_id), backfill_id)
    changed = change_backfill(services, caller, backfill.id, action)
    return _shown(changed, services.owners.of([changed.created_by]))


def _shown(backfill: Backfill, owner: Owner) -> bodies.Backfill:
    progress = backfill.progress
    return bodies.Backfill(
        id=UUID(backfill.id),
        evaluation_id=UUID(backfill.evaluation_id),
        evaluation_version=backfill.evaluation_version,
        window_start=backfill.window_start,
        window_end=backfill.window_end,
        rerun_existing=backfill.rerun_existing,
        state=backfill.state,
        error=backfill.error or None,
        total=progress.total,
        read=progress.read,
        matched=progress.matched,
        sampled_out=progress.sampled_out,
        evaluated=progress.evaluated,
        skipped=progress.skipped,
        failed=progress.failed,
        progress=share_of(backfill),
        created_at=backfill.created_at,
        started_at=backfill.started_at,
        updated_at=backfill.updated_at,
        finished_at=backfill.finished_at,
        created_by=owner(backfill.created_by),
    )
