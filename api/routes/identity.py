"""Clients of PostHog first ask who the key is and which team it reaches. All of it is read-only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.http.auth import CURRENT, AnyKeyParam
from api.http.errors import NotFound
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.schemas.identity import Me, Organization, OrganizationBasic, PersonalApiKey, Project, organization_id
from storage.sql.api_keys import ApiKey

router = APIRouter(route_class=OneHopRoute, prefix="/api", tags=["identity"])
team_router = APIRouter(route_class=OneHopRoute, tags=["identity"])
"""Routes of a team's own path, which authentication has checked."""

OrganizationPath = Annotated[str, Path(alias="id", max_length=64, description="Id of the organization, or @current.")]


@router.get("/projects/")
def list_projects(caller: AnyKeyParam, window: WindowParam) -> Page[Project]:
    """List the projects of the key: its team."""
    return window.page_of([Project.of(caller.team_id)])


@router.get("/environments/")
def list_environments(caller: AnyKeyParam, window: WindowParam) -> Page[Project]:
    """List the environments of the key: its team."""
    return window.page_of([Project.of(caller.team_id)])


@team_router.get("/")
def retrieve_project(caller: AnyKeyParam) -> Project:
    """Return the team of the key."""
    return Project.of(caller.team_id)


@router.get("/users/@me/")
def retrieve_me(caller: AnyKeyParam) -> Me:
    """Return the owner of the key."""
    return Me.of(caller)


@router.get("/organizations/")
def list_organizations(caller: AnyKeyParam, window: WindowParam) -> Page[OrganizationBasic]:
    """List the organizations of the key: the one of its team."""
    return window.page_of([OrganizationBasic.of(caller.team_id)])


@router.get("/organizations/{id}/")
def retrieve_organization(organization: OrganizationPath, caller: AnyKeyParam) -> Organization:
    """Return the organization of the key's team."""
    _check_organization(organization, caller)
    return Organization.of(caller.team_id)


@router.get("/organizations/{id}/projects/")
def list_projects_of_organization(
    organization: OrganizationPath, caller: AnyKeyParam, window: WindowParam
) -> Page[Project]:
    """List the projects of an organization: the key's team."""
    _check_organization(organization, caller)
    return window.page_of([Project.of(caller.team_id)])


@router.get("/personal_api_keys/@current/")
def retrieve_current_key(caller: AnyKeyParam) -> PersonalApiKey:
    """Return the key that asks, masked."""
    return PersonalApiKey.of(caller)


def _check_organization(organization: str, caller: ApiKey) -> None:
    if organization not in (CURRENT, str(organization_id(caller.team_id))):
        raise NotFound
