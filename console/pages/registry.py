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
        is_slow: whether a request waits for a provider, for much of the archive or for code of the team. It then runs
            off the console's threads, in the bounds of the API's slow requests.
    """

    path: str
    show: Callable[[Visit], Response]
    scope: str | tuple[str, ...]
    method: str = "GET"
    asks: str | None = None
    is_slow: Callable[[Visit], bool] = lambda _visit: False

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of which its reader needs one."""
        return (self.scope,) if isinstance(self.scope, str) else self.scope

    @property
    def of_team(self) -> bool:
        """Whether the page is of one team."""
        return self.path.startswith("{team}/")


def post(
    path: str,
    show: Callable[[Visit], Response],
    scope: str | tuple[str, ...],
    *,
    asks: str | None = None,
    slow: tuple[str, ...] | None = None,
) -> Page:
    """Return a page that takes a form.

    Args:
        slow: values of the form's `action` that make it slow; without any, every form does.
    """

    def is_slow(visit: Visit) -> bool:
        return slow is not None and (not slow or visit.field("action") in slow)

    return Page(path, show, scope, "POST", asks, is_slow)
