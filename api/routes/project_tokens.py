"""`project_tokens`: the tokens with which applications send events of the team. A token is shown once, when made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, status

from api.http.auth import Scoped
from api.http.errors import Invalid, NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.schemas.project_tokens import ProjectToken, ProjectTokenCreate, ProjectTokenMade
from storage.sql.api_keys import ApiKey
from storage.sql.project_tokens import ProjectTokens, TokenRefused

router = APIRouter(route_class=OneHopRoute, tags=["project_tokens"])

Reader = Annotated[ApiKey, Scoped("ingest_token:read")]
Writer = Annotated[ApiKey, Scoped("ingest_token:write")]
TokenPath = Annotated[int, Path(alias="id", ge=1, le=2**31 - 1, description="Number of the token.")]

_FIELDS = {"imported": "token", "origins": "origins"}
"""Argument of the repository → field of the body."""


@router.get("/project_tokens/")
def list_project_tokens(caller: Reader, services: ServicesParam, window: WindowParam) -> Page[ProjectToken]:
    """List the team's tokens, newest first, revoked ones too."""
    tokens, count = ProjectTokens(services.database).page(caller.team_id, limit=window.limit, offset=window.offset)
    return window.page([ProjectToken.model_validate(token) for token in tokens], count)


@router.post("/project_tokens/", status_code=status.HTTP_201_CREATED)
def create_project_token(body: ProjectTokenCreate, caller: Writer, services: ServicesParam) -> ProjectTokenMade:
    """Make a token and return it with its text, which cannot be read again. It works within two seconds."""
    try:
        made, text = ProjectTokens(services.database).create(
            team_id=caller.team_id,
            name=body.name,
            imported=body.token,
            events_per_s=body.events_per_s,
            bytes_per_s=body.bytes_per_s,
            origins=body.origins,
            actor=caller.actor,
            now=services.now(),
        )
    except TokenRefused as error:
        detail = f"{str(error)[0].upper()}{str(error)[1:]}."
        raise Invalid(detail, attr=_FIELDS[error.field]) from error
    return ProjectTokenMade(**ProjectToken.model_validate(made).model_dump(), token=text)


@router.get("/project_tokens/{id}/")
def retrieve_project_token(token_id: TokenPath, caller: Reader, services: ServicesParam) -> ProjectToken:
    """Return one token, without its text."""
    found = ProjectTokens(services.database).get(caller.team_id, token_id)
    if found is None:
        raise NotFound
    return ProjectToken.model_validate(found)


@router.delete("/project_tokens/{id}/", status_code=status.HTTP_204_NO_CONTENT)
def revoke_project_token(token_id: TokenPath, caller: Writer, services: ServicesParam) -> None:
    """Revoke a token for good. It stops working within two seconds and stays in the list."""
    tokens = ProjectTokens(services.database)
    if tokens.revoke(token_id, team_id=caller.team_id, actor=caller.actor, now=services.now()) is None:
        raise NotFound
