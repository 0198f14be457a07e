"""Parts of a page that may be slow. The script loads each by itself; without one, a link opens it in its place.

Both ways run the same page of `PAGES`. The addresses of links name the open panels in `open`, so that a page with open
panels can be reloaded and shared like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from api.http.errors import Unavailable
from console.failures import failure
from console.pages.registry import Page
from console.visit import Visit

DEADLINE_S = 3.0


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of a page.

    Attributes:
        name: names it in `open`, and its section as `panel-{name}`.
        title: its contents, as in "Show the reasons here".
        page: makes it. of: the parameters of that page's path, besides the team. query: its parameters.
        deadline_s: how long a page or the script waits for it.
        src: its address.
        made: its HTML if the page has it in place; None if it is still to be loaded or opened.
        failed: `made` says why the panel is missing.
    """

    name: str
    title: str
    page: Page
    of: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = DEADLINE_S
    src: str = ""
    made: Markup | None = None
    failed: bool = False


def panels_of(visit: Visit, *panels: Panel) -> Mapping[str, Panel]:
    """Return the panels by name. Those that the address opens are made, all at a time, each until its deadline."""
    found = [replace(each, src=_address(visit, each)) for each in panels]
    inner = {each.name: _inside(visit, each) for each in found if each.name in visit.opened}
    begun = {each.name: visit.parts.start(inner[each.name], each.page) for each in found if each.name in inner}
    for place, each in enumerate(found):
        if each.name in begun:
            found[place] = _made(each, begun[each.name], inner[each.name])
    return {each.name: each for each in found}


def _made(panel: Panel, begun: Future[Response], visit: Visit) -> Panel:
    try:
        answer = begun.result(panel.deadline_s * visit.parts.patience)
    except TimeoutError:
        begun.cancel()
        late = Unavailable(f"This part took longer than {panel.deadline_s:g} seconds.", code="panel_too_slow")
        answer = failure(late, visit, zone=visit.zone, theme=visit.theme)
    html = Markup(bytes(answer.body).decode())  # noqa: S704  # a template of ours made it
    return replace(panel, made=html, failed=answer.status_code >= 400)


def _address(visit: Visit, panel: Panel) -> str:
    values = {name: quote(value, safe="") for name, value in panel.of.items()}
    query = urlencode({name: value for name, value in panel.query.items() if value})
    return f"/console/{panel.page.path.format(team=visit.team, **values)}" + (f"?{query}" if query else "")


def _inside(visit: Visit, panel: Panel) -> Visit:
    """Return the visit that the panel's own page would have, had the same reader asked for it as a fragment."""
    path, _, query = panel.src.partition("?")
    scope = visit.request.scope
    headers = [(name, value) for name, value in scope["headers"] if name not in (b"if-none-match", b"x-gavel-fragment")]
    inner = {
        **scope,
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "path_params": {**panel.of, "team": str(visit.team)},
        "headers": [*headers, (b"x-gavel-fragment", b"1")],
        "state": {},
    }
    made = replace(visit, request=Request(inner), form={}, host=visit)
    made.request.state.visit = made  # the page of a failure is for this reader
    return made
