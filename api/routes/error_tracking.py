"""`error_tracking`: on the reference pages only because of how they are cut. Gavel has none, and says so."""

from __future__ import annotations

from fastapi import APIRouter

from api.http.errors import NotFound
from api.http.one_hop import OneHopRoute

router = APIRouter(route_class=OneHopRoute, include_in_schema=False)


@router.api_route("/error_tracking/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def error_tracking(rest: str) -> None:  # noqa: ARG001  # every path below is answered alike
    """Say that there is no error tracking here."""
    raise NotFound(
        "Gavel has no error tracking and takes no symbol sets: it judges LLM generations. Send symbol sets to PostHog."
    )
