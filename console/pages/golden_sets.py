"""Golden sets with their next items, their frozen versions, and the difference of two versions."""

from __future__ import annotations

from typing import Any

from starlette.responses import RedirectResponse, Response

from api.http.errors import NotFound
from api.services import golden_desk
from api.services.datasets import dataset_names
from api.services.turns import output_text
from console.pages.registry import Page, post
from console.render import page
from console.visit import Visit, read_number

_ITEMS = 50


def show_all(visit: Visit) -> Response:
    """Show the golden sets, and the form that makes one."""
    may_write = visit.may("label:write")
    return page(
        visit,
        "golden_sets.html",
        rows=golden_desk.rows(visit.services, visit.team),
        outlines=visit.outlines if may_write else [],
        datasets=dataset_names(visit.services, visit.team) if may_write and visit.may("dataset:read") else [],
        done=visit.notice("done"),
    )


def create(visit: Visit) -> Response:
    """Make a golden set."""
    visit.need("label:read")
    fields: dict[str, Any] = {
        "evaluation": visit.outlines.named(visit.field("evaluation")),
        "name": visit.field("name"),
        "description": visit.field("description"),
        "labels": visit.field("labels") == "on",
        "datasets": visit.form.get("dataset", []),
    }
    made = golden_desk.create(visit.services, visit.reader.key, fields)
    return RedirectResponse(visit.link(f"golden-sets/{made.id}/"), 303)


def show(visit: Visit) -> Response:
    """Show one golden set: the items that a freeze would store, and its versions."""
    row = golden_desk.row_of(visit.services, visit.team, visit.path["golden"])
    found = golden_desk.candidates(visit.services, row)
    return page(
        visit,
        "golden_set.html",
        row=row,
        candidates=found[:_ITEMS],
        total=len(found),
        owner=visit.services.owners.of([each.created_by for each in row.versions]),
        done=visit.notice("done"),
    )


def change(visit: Visit) -> Response:
    """Freeze the items as the next version, or hide the golden set."""
    visit.need("label:read")
    row = golden_desk.row_of(visit.services, visit.team, visit.path["golden"])
    if visit.field("action") == "delete":
        golden_desk.delete(visit.services, visit.reader.key, row)
        return RedirectResponse(visit.link("golden-sets/", done="The golden set is gone; its versions stay."), 303)
    version, missing = golden_desk.freeze(visit.services, visit.reader.key, row)
    lacks = f" The archive lacks {missing} of its generations." if missing else ""
    return RedirectResponse(
        visit.link(f"golden-sets/{row.golden.id}/", done=f"Version {version} is frozen.{lacks}"), 303
    )


def show_version(visit: Visit) -> Response:
    """Show the items of a frozen version, and how it differs from another one."""
    row = golden_desk.row_of(visit.services, visit.team, visit.path["golden"])
    number = read_number(visit.path["version"])
    if number is None:
        raise NotFound
    first = read_number(visit.query("from_item")) or 0
    found = golden_desk.items(visit.services, row, number, limit=_ITEMS + 1, offset=first)
    other = read_number(visit.query("other"))
    return page(
        visit,
        "golden_version.html",
        row=row,
        number=number,
        items=[(each, output_text(each.event["properties"])) for each in found[:_ITEMS]],
        first=first,
        more=len(found) > _ITEMS,
        step=_ITEMS,
        other=other,
        diff=golden_desk.diff(visit.services, row, other, number) if other is not None else None,
    )


_READ, _WRITE = "label:read", "label:write"
PAGES = (
    Page("{team}/golden-sets/", show_all, _READ),
    post("{team}/golden-sets/", create, _WRITE),
    Page("{team}/golden-sets/{golden}/", show, _READ),
    post("{team}/golden-sets/{golden}/", change, _WRITE, slow=()),
    Page("{team}/golden-sets/{golden}/{version}/", show_version, _READ),
)
