"""The links beside every page: those that the reader's scopes allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from console.visit import Visit


@dataclass(frozen=True, slots=True)
class Link:
    """One entry. `current` is whether the page lies within it."""

    text: str
    address: str
    current: bool


@dataclass(frozen=True, slots=True)
class LinkGroup:
    """Entries under a heading."""

    title: str
    links: tuple[Link, ...]


_TEAM: tuple[tuple[str, str, str | tuple[str, ...]], ...] = (
    ("Overview", "", "evaluation:read"),
    ("Evaluations", "evaluations/", "evaluation:read"),
    ("Results", "results/", "evaluation:read"),
    ("Labels", "labels/", ("label:read", "label:write")),
    ("Golden sets", "golden-sets/", "label:read"),
    ("Reports", "reports/", "llm_analytics:read"),
    ("Clusters", "clusters/", "llm_analytics:read"),
    ("Jobs", "jobs/", "evaluation:read"),
    ("Datasets", "datasets/", "dataset:read"),
    ("Provider keys", "keys/", "llm_provider_key:read"),
    ("Audit", "audit/", "evaluation:read"),
)
_OPERATIONS = (
    ("Health", "health/"),
    ("Budgets", "budgets/"),
    ("Dead letters", "dead-letters/"),
    ("Replays", "replays/"),
    ("Audit", "audit/"),
)


def first_page(team: int, allows: Callable[[str], bool]) -> str:
    """Return the path of the first page that a key may open; of operators' if `team` is 0."""
    if not team:
        return f"/console/operations/{_OPERATIONS[0][1]}"
    return f"/console/{team}/" + next((path for _, path, scope in _TEAM if _allows(allows, scope)), "")


def sections(visit: Visit) -> tuple[LinkGroup, ...]:
    """Return the navigation of a page."""
    here = visit.request.url.path
    zone = f"?{urlencode(visit.state())}" if visit.state() else ""
    found = []
    if visit.reader.teams:
        team = visit.team or visit.reader.teams[0]
        key = next(key for key in visit.reader.keys if key.team_id == team)
        base = f"/console/{team}/"
        links = tuple(
            _link(text, base + path, here, base, zone) for text, path, scope in _TEAM if _allows(key.allows, scope)
        )
        found.append(LinkGroup(f"Team {team}", links))
    if visit.reader.is_operator:
        base = "/console/operations/"
        links = tuple(_link(text, base + path, here, base, zone) for text, path in _OPERATIONS)
        found.append(LinkGroup("Operations", links))
    return tuple(found)


def _allows(allows: Callable[[str], bool], scope: str | tuple[str, ...]) -> bool:
    return any(allows(each) for each in ((scope,) if isinstance(scope, str) else scope))


def _link(text: str, address: str, here: str, base: str, query: str) -> Link:
    return Link(text, address + query, here == address if address == base else here.startswith(address))
