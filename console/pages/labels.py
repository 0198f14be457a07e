"""Label queues: their list and standing, and one item at a time, with keys where there is a script."""

from __future__ import annotations

from datetime import timedelta
from secrets import token_hex
from typing import Any

from starlette.responses import RedirectResponse, Response, StreamingResponse

from api.http.errors import Invalid
from api.services import label_desk
from console import commands
from console.code import json_code
from console.failures import is_fragment
from console.pages.registry import Page, post
from console.render import fragment, page
from console.visit import Visit, is_id, read_number

_WINDOWS = {"1": 1, "7": 7, "30": 30}
MODES = ("random", "stratified")


def show_queues(visit: Visit) -> Response:
    """Show the queues. Who may only label sees which have work, and neither their sampling nor others' labels."""
    whole = visit.reader.key.allows("label:read")
    return page(
        visit,
        "labels.html",
        rows=label_desk.queue_rows(visit.services, visit.team),
        whole=whole,
        outlines=visit.outlines if whole and visit.may("label:write") else [],
        chosen=visit.query("evaluation"),
        modes=MODES,
        done=visit.notice("done"),
    )


def create(visit: Visit) -> Response:
    """Draw a queue."""
    visit.need("label:read")
    days = _WINDOWS.get(visit.field("days"), 7)
    fields: dict[str, Any] = {
        "evaluation": visit.outlines.named(visit.field("evaluation")),
        "mode": visit.field("mode"),
        "size": visit.field("size"),
        "labellers_per_item": visit.field("labellers"),
        "overlap": visit.field("overlap"),
        "reveal": visit.field("reveal") == "on",
        "window_start": (visit.now - timedelta(days=days)).isoformat(),
    }
    if visit.field("name").strip():
        fields["name"] = visit.field("name")
    made = label_desk.create_queue(visit.services, visit.reader.key, _numbers(fields))
    return RedirectResponse(visit.link(f"labels/{made.id}/"), 303)


def _numbers(fields: dict[str, Any]) -> dict[str, Any]:
    for name, kind in (("size", int), ("labellers_per_item", int), ("overlap", float)):
        try:
            fields[name] = kind(fields[name])
        except ValueError as error:
            raise Invalid(f"{name.replace('_', ' ').capitalize()} takes a number.", attr=name) from error
    return fields


def show_queue(visit: Visit) -> Response:
    """Show how far a queue is, and how far its labellers agree."""
    row = label_desk.queue_row(visit.services, visit.team, visit.path["queue"])
    progress = label_desk.progress_of(visit.services, row)
    evaluation = row.queue.evaluation_id
    words = ("labels", "export", "--evaluation", evaluation, "--format", "csv")
    lines = [
        commands.gavel(visit, *words),
        commands.curl(visit, "labels/export/", {"evaluation": evaluation, "format": "csv"}),
    ]
    return page(visit, "label_queue.html", row=row, progress=progress, done=visit.notice("done"), commands=lines)


def change_queue(visit: Visit) -> Response:
    """Extend or delete a queue."""
    visit.need("label:read")
    queue = visit.path["queue"]
    if visit.field("action") == "delete":
        label_desk.change_queue(visit.services, visit.reader.key, queue, {"deleted": True})
        return RedirectResponse(visit.link("labels/", done="The queue is gone; its labels stay."), 303)
    size = read_number(visit.field("size"))
    if size is None:
        raise Invalid("The size takes a number.", attr="size")
    changed = label_desk.change_queue(visit.services, visit.reader.key, queue, {"size": size})
    return RedirectResponse(visit.link(f"labels/{queue}/", done=f"The queue has {changed.size} items now."), 303)


def show_next(visit: Visit) -> Response:
    """Show the button that takes the next item. Opening the page alone changes nothing."""
    row = label_desk.queue_row(visit.services, visit.team, visit.path["queue"])
    return page(visit, "label_next.html", row=row, left=visit.query("left") != "none")


def take_next(visit: Visit) -> Response:
    """Take the next item: the script gets it at once, and a browser without one is led to it."""
    queue = visit.path["queue"]
    item = label_desk.take(visit.services, visit.reader.key, queue)
    if not is_fragment(visit):
        if item is None:
            return RedirectResponse(visit.link(f"labels/{queue}/next/", left="none"), 303)
        back = visit.field("back")
        return RedirectResponse(visit.link(f"labels/{queue}/items/{item}/", back=back if is_id(back) else None), 303)
    if item is None:
        return fragment(visit, "label_none.html", queue=queue)
    return _part(visit, item, back="")


def show_item(visit: Visit) -> Response:
    """Show an item that the reader holds, or has labelled and may correct."""
    back = visit.query("back")
    start, entry = read_number(visit.query("turn")) or 0, read_number(visit.query("entry")) or 0
    queue, wanted = visit.path["queue"], visit.path["item"]
    item = label_desk.open_item(visit.services, visit.reader.key, queue, wanted, start=start, entry=entry)
    return page(visit, "label_item.html", **_values(item, back if is_id(back) else ""), is_first=not (start or entry))


def answer(visit: Visit) -> Response:
    """Store a label, or pass the item on, and go to the next item."""
    queue, item, key = visit.path["queue"], visit.path["item"], visit.reader.key
    if visit.field("action") == "skip":
        label_desk.skip(visit.services, key, queue, item)
        return fragment(visit, "label_saved.html", verdict=None) if is_fragment(visit) else take_next(visit)
    fields: dict[str, Any] = {"comment": visit.field("comment")}
    if visit.field("client_id"):
        fields["client_id"] = visit.field("client_id")[:100]
    seconds = visit.field("seconds")
    if seconds.isascii() and seconds.isdigit() and int(seconds[:9]) <= 86_400:
        fields["seconds"] = float(seconds[:9])
    verdict = label_desk.save(visit.services, key, queue, item, visit.form.get("verdict", []), fields)
    if is_fragment(visit):
        return fragment(visit, "label_saved.html", verdict=verdict)
    if verdict is not None:
        return RedirectResponse(visit.link(f"labels/{queue}/items/{item}/"), 303)
    visit.form = {**visit.form, "back": [item]}
    return take_next(visit)


def pick(visit: Visit) -> Response:
    """Make a focus queue of one result."""
    visit.need("label:read")
    made = label_desk.pick(visit.services, visit.reader.key, visit.field("evaluation"), visit.path["uuid"])
    return RedirectResponse(visit.link(f"labels/{made.id}/", done="The result is in a focus queue."), 303)


def export(visit: Visit) -> Response:
    """Send all labels of the team, or of one evaluation, as a file, oldest first."""
    form = visit.choice("format", tuple(label_desk.FORMATS), "csv")
    lines = label_desk.export(visit.services, visit.team, visit.query("evaluation"), form)
    headers = {"Content-Disposition": f'attachment; filename="labels.{form}"'}
    return StreamingResponse(lines, media_type=label_desk.FORMATS[form], headers=headers)


def _part(visit: Visit, item_id: str, *, back: str) -> Response:
    item = label_desk.open_item(visit.services, visit.reader.key, visit.path["queue"], item_id)
    return fragment(visit, "label_part.html", **_values(item, back), is_first=True)


def _values(item: label_desk.OpenItem, back: str) -> dict[str, Any]:
    return {"item": item, "back": back, "client_id": token_hex(12), "json_code": json_code}


_ANY = ("label:read", "label:write")
_READ, _WRITE = "label:read", "label:write"
PAGES = (
    Page("{team}/labels/", show_queues, _ANY),
    post("{team}/labels/", create, _WRITE, slow=()),
    Page("{team}/labels/export/", export, _READ),
    post("{team}/results/{uuid}/label/", pick, _WRITE, slow=()),
    Page("{team}/labels/{queue}/", show_queue, _READ),
    post("{team}/labels/{queue}/", change_queue, _WRITE, slow=()),
    Page("{team}/labels/{queue}/next/", show_next, _WRITE),
    post("{team}/labels/{queue}/next/", take_next, _WRITE),
    Page("{team}/labels/{queue}/items/{item}/", show_item, _WRITE),
    post("{team}/labels/{queue}/items/{item}/", answer, _WRITE),
)
