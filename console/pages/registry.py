"""A page is a path, a function, and the scope that its reader needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from console.visit import Visit


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        path: below `/console/`; with `{team}` for pages of a team, without it for an operator's.
        show: returns the response; runs on a thread and may block.
        scope: what the reader's key must have; of several, one is enough.
        method: `GET`, or `POST` for a change.
        asks: the code of the error of the part, besides the stores, that has answered once the page is made.
    """

    path: str
    show: Callable[[Visit], Response]
    scope: str | tuple[str, ...]
    method: str = "GET"
    asks: str | None = None

    @property
    def of_team(self) -> bool:
        """Whether the page is of one team."""
        return self.path.startswith("{team}/")


def post(
    path: str, show: Callable[[Visit], Response], scope: str | tuple[str, ...], *, asks: str | None = None
) -> Page:
    """Return a page that takes a form."""
    return Page(path, show, scope, "POST", asks)
