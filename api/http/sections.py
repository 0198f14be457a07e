"""The endpoints of a team, each below both bases, and how a request finds its own among them.

FastAPI compares a path with the pattern of each route in turn, and does so anew for each router that a router is
included in. With more than a hundred endpoints below two bases that took a third of the time of a small request. So the
application has them all at one level here, and a route whose path has another length or another name is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from api.http.one_hop import OneHopRoute

_PLACE = "gavel.place"
_BASE, _SECTION = 2, 4
"""Where the parts of a path stand in `/api/projects/1/evaluations/`, which begins with an empty one."""

_Place = tuple[int, str, str]
"""The number of parts, the base, and the name behind the team."""


class TeamRoute(OneHopRoute):
    """A route of a team that most requests for other endpoints pass over without its pattern being tried."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        place = _place(path)
        self._place = None if ":path}" in path or "{" in place[2] else place

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request."""
        if self._place is not None and not scope.get("root_path"):
            place = scope.get(_PLACE)
            if place is None:
                place = scope[_PLACE] = _place(scope["path"])
            if place != self._place:
                return Match.NONE, {}
        return super().matches(scope)


def _place(path: str) -> _Place:
    parts = path.split("/")
    return len(parts), *((parts[_BASE], parts[_SECTION]) if len(parts) > _SECTION else ("", ""))


def serve_teams(app: FastAPI, bases: Iterable[str], routers: Iterable[APIRouter]) -> None:
    """Let `app` serve the routes of all routers below each base, those of earlier routers first."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    for base in bases:
        for route in routes:
            app.router.add_api_route(
                base + route.path,
                route.endpoint,
                route_class_override=TeamRoute,
                response_model=route.response_model,
                methods=route.methods,
                name=route.name,
                status_code=route.status_code,
                tags=route.tags,
                dependencies=route.dependencies,
                summary=route.summary,
                description=route.description,
                responses=route.responses,
                response_class=route.response_class,
                include_in_schema=route.include_in_schema,
            )
