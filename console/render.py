"""Templates: autoescape is always on, an undefined name is an error, and a page gets its frame here."""

from __future__ import annotations

from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from console import shown
from console.assets import address
from console.navigation import first_page, sections
from console.times import Zone, age, ago, lasting
from console.visit import Theme, Visit

_TOKEN = Markup('<input type="hidden" name="token" value="{}">')
_ONCE = Markup('<input type="hidden" name="once" value="{}">')
"""Stands beside the token in forms that make something. Parts that refresh themselves cannot have it, because it is
another one each time."""
_ENVIRONMENT = Environment(
    loader=PackageLoader("console", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals |= {"asset": address, "first_page": first_page}
_ENVIRONMENT.filters |= {
    "count": shown.count,
    "percent": shown.percent,
    "usd": shown.usd,
    "seconds": shown.seconds,
    "rate": shown.rate,
    "medium": shown.medium,
    "visible": shown.visible,
    "brief": shown.brief,
    "words": shown.words,
    "answer": shown.answer,
    "figure": shown.figure,
    "lacking": shown.lacking,
    "age": age,
    "lasting": lasting,
}


def page(visit: Visit, template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a whole page of a team, or of the operator."""
    return HTMLResponse(_text(visit, template, values), status)


def fragment(visit: Visit, template: str, **values: Any) -> Response:
    """Return a part of a page for the script that puts it into the page; whole, with a frame, for a plain link."""
    text = _text(visit, template, values)
    if visit.request.headers.get("x-gavel-fragment") != "1":
        return page(visit, "wrapped.html", content=Markup(text))  # noqa: S704  # a template of ours made it
    response = HTMLResponse(text)
    response.headers["X-Gavel-Fragment"] = "1"
    response.headers["ETag"] = tag = f'"{sha256(text.encode()).hexdigest()[:24]}"'
    return (
        Response(status_code=304, headers={"ETag": tag})
        if tag == visit.request.headers.get("if-none-match")
        else response
    )


def part(name: str, *values: Any) -> Markup:
    """Return what a macro of `parts.html` makes of `values`."""
    made: Markup = getattr(_ENVIRONMENT.get_template("parts.html").module, name)(*values)
    return made


def bare(template: str, *, zone: Zone, theme: Theme, status: int = 200, **values: Any) -> Response:
    """Return a page for somebody who is not signed in."""
    return HTMLResponse(
        _ENVIRONMENT.get_template(template).render(visit=None, zone=zone, theme=theme, **values), status
    )


def _text(visit: Visit, template: str, values: dict[str, Any]) -> str:
    pieces = _ENVIRONMENT.get_template(template).generate(
        visit=visit,
        zone=visit.zone,
        theme=visit.theme,
        sections=sections(visit),
        ago=lambda moment: ago(moment, visit.now),
        token=_TOKEN.format(visit.token),
        once=_TOKEN.format(visit.token) + _ONCE.format(token_urlsafe(12)),
        **values,
    )
    made = []
    precedence = visit.services.precedence
    with precedence.writing():
        for piece in pieces:
            made.append(piece)
            precedence.give_way()
    return "".join(made)
