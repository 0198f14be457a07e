"""Bodies that say who a key is: its user, team and organization, in PostHog's field names.

Gavel knows teams and keys. A user is the owner of a key, a project is a team, and an organization is what a team's keys
can reach: that team.
"""

from __future__ import annotations

from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from api.schemas.parts import ResponseBody, User
from storage.sql.api_keys import ApiKey


def organization_id(team_id: int) -> UUID:
    """Return the id of a team's organization; it is stable."""
    return uuid5(NAMESPACE_URL, f"gavel://team/{team_id}/organization")


class Project(ResponseBody):
    """A team."""

    id: int
    uuid: UUID
    organization: UUID
    api_token: str | None
    name: str
    timezone: str
    is_demo: bool
    completed_snippet_onboarding: bool
    ingested_event: bool
    access_control: bool

    @classmethod
    def of(cls, team_id: int) -> Project:
        """Return the team as a project."""
        return cls(
            id=team_id,
            uuid=uuid5(NAMESPACE_URL, f"gavel://team/{team_id}"),
            organization=organization_id(team_id),
            api_token=None,
            name=f"Team {team_id}",
            timezone="UTC",
            is_demo=False,
            completed_snippet_onboarding=True,
            ingested_event=True,
            access_control=False,
        )


class OrganizationBasic(ResponseBody):
    """An organization by its name."""

    id: UUID
    name: str
    slug: str
    membership_level: int | None

    @classmethod
    def of(cls, team_id: int) -> OrganizationBasic:
        """Return the organization of a team."""
        return cls(id=organization_id(team_id), name=f"Team {team_id}", slug=f"team-{team_id}", membership_level=None)


class Organization(OrganizationBasic):
    """An organization with its one team."""

    teams: list[Project]
    projects: list[Project]

    @classmethod
    def of(cls, team_id: int) -> Organization:
        """Return the organization of a team."""
        basic = OrganizationBasic.of(team_id).model_dump()
        project = Project.of(team_id)
        return cls(**basic, teams=[project], projects=[project])


class Me(User):
    """The owner of the key that asks."""

    team: Project
    organization: Organization
    organizations: list[OrganizationBasic]
    is_staff: bool

    @classmethod
    def of(cls, key: ApiKey) -> Me:
        """Return the owner of `key`."""
        return cls(
            **User.of(key).model_dump(),
            team=Project.of(key.team_id),
            organization=Organization.of(key.team_id),
            organizations=[OrganizationBasic.of(key.team_id)],
            is_staff=False,
        )


class PersonalApiKey(ResponseBody):
    """The key that asks, masked."""

    id: str
    label: str
    mask_value: str
    value: str | None
    user_id: int
    scopes: list[str]
    scoped_teams: list[int]
    scoped_organizations: list[str]
    created_at: datetime
    last_used_at: datetime | None
    last_rolled_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> PersonalApiKey:
        """Return `key`, masked."""
        return cls(
            id=str(key.id),
            label=key.label,
            mask_value=key.masked,
            value=None,
            user_id=key.id,
            scopes=sorted(key.scopes),
            scoped_teams=[key.team_id],
            scoped_organizations=[str(organization_id(key.team_id))],
            created_at=key.created_at,
            last_used_at=key.last_used_at,
            last_rolled_at=None,
        )
