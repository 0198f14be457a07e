"""A conversation with every verdict beside it, and why each evaluation ran or did not."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from api.http.errors import Invalid, NotFound
from api.services.conversations import (
    find_generation,
    how_judged_on,
    raw_json,
    result_event,
    show_generation,
    trace_rows,
    verdicts_of,
    why_on,
)
from api.services.datasets import add_generation, dataset_names
from api.services.definitions import find
from api.services.manual_runs import start_run
from console.absences import KAFKA
from console.markdown import to_html
from console.pages.registry import Page, post
from console.render import fragment, page
from console.visit import Visit

_WHYS = 25
_MAX_ID = 200


def show(visit: Visit) -> Response:
    """Show one generation."""
    return _show(visit, visit.path["uuid"], opened="")


def show_result(visit: Visit) -> Response:
    """Show the generation of one result, with that verdict opened."""
    uuid = visit.path["uuid"]
    with visit.services.pages.client(visit.reader.session) as client:
        event = result_event(client, visit.team, uuid)
    if event is None:
        raise NotFound("There is no such result in this team.")
    return _show(visit, event, opened=uuid)


def _show(visit: Visit, uuid: str, *, opened: str) -> Response:
    with visit.services.pages.client(visit.reader.session) as client:
        row = find_generation(client, visit.team, uuid)
        verdicts = verdicts_of(client, visit.team, visit.outlines.by_id, event=uuid)
        how = how_judged_on(client, visit.team, uuid) if verdicts else {}
    if row is None and not verdicts:
        raise NotFound("There is no such generation in the archive of this team.")
    start = int(visit.query("turn")) if visit.query("turn").isascii() and visit.query("turn").isdigit() else 0
    return page(
        visit,
        "generation.html",
        uuid=uuid,
        shown=None if row is None else show_generation(row, start=start),
        start=start,
        verdicts=verdicts,
        how=how,
        opened=opened,
        formatted=visit.query("view") == "formatted",
        to_html=to_html,
        outlines=visit.outlines[:200],
        datasets=dataset_names(visit.services, visit.team) if visit.may("dataset:write") else [],
        done=visit.query("done"),
    )


def show_why(visit: Visit) -> Response:
    """Explain, for evaluations without a result here, or for the one that is named, why there is none."""
    uuid, text = visit.path["uuid"], visit.query("q").lower()
    with visit.services.pages.client(visit.reader.session) as client:
        row = find_generation(client, visit.team, uuid)
        judged = {each[0] for each in verdicts_of(client, visit.team, visit.outlines.by_id, event=uuid)}
    if row is None:
        raise NotFound("The archive has no such generation, so nothing can be explained.")
    named = visit.outlines.matching(text, "", "")
    wanted = sorted((each for each in named if text or each.id not in judged), key=lambda each: each.status != "active")
    found: list[tuple[object, object, str]] = []
    for outline in wanted[:_WHYS]:
        evaluation = find(visit.services, visit.reader.key, outline.id)
        try:
            found.append((outline, why_on(evaluation, row), ""))
        except Invalid as error:
            found.append((outline, None, error.detail))
    return fragment(visit, "why.html", found=found, more=max(0, len(wanted) - _WHYS), uuid=uuid, text=visit.query("q"))


def show_trace(visit: Visit) -> Response:
    """Show the generations of a trace, oldest first, with all verdicts."""
    trace = visit.path["trace"][:_MAX_ID]
    with visit.services.pages.client(visit.reader.session) as client:
        rows = trace_rows(client, visit.team, trace)
        verdicts = verdicts_of(client, visit.team, visit.outlines.by_id, trace=trace)
    if not rows and not verdicts:
        raise NotFound("The archive of this team has no such trace.")
    by_event: dict[str, list[object]] = {}
    for each in verdicts:
        by_event.setdefault(each[2].target_event_id, []).append(each)
    return page(
        visit,
        "trace.html",
        trace=trace,
        shown=[show_generation(row) for row in rows],
        by_event=by_event,
        to_html=to_html,
    )


def download(visit: Visit) -> Response:
    """Send the event as it was archived, as a file."""
    with visit.services.pages.client(visit.reader.session) as client:
        row = find_generation(client, visit.team, visit.path["uuid"])
    if row is None:
        raise NotFound
    headers = {"Content-Disposition": 'attachment; filename="generation.json"'}
    return Response(raw_json(row), media_type="application/json", headers=headers)


def judge_now(visit: Visit) -> Response:
    """Ask for a run of one evaluation on this generation."""
    evaluation = find(visit.services, visit.reader.key, visit.field("evaluation"))
    with visit.services.pages.client(visit.reader.session) as client:
        row = find_generation(client, visit.team, visit.path["uuid"])
    if row is None:
        raise NotFound("The archive has no such generation, so it cannot be judged again.")
    start_run(visit.services, visit.reader.key, evaluation, row)
    return _back(visit, f"{evaluation.name[:80]} is judging this; its verdict appears here.")


def keep_in_dataset(visit: Visit) -> Response:
    """Add the generation to a dataset."""
    with visit.services.pages.client(visit.reader.session) as client:
        row = find_generation(client, visit.team, visit.path["uuid"])
    if row is None:
        raise NotFound
    name = add_generation(visit.services, visit.reader.key, visit.field("dataset"), row)
    return _back(visit, f"Added to {name[:80]}.")


def _back(visit: Visit, done: str) -> Response:
    return RedirectResponse(visit.link(f"generations/{visit.path['uuid']}/", done=done), 303)


PAGES = (
    Page("{team}/generations/{uuid}/", show, "evaluation:read"),
    Page("{team}/generations/{uuid}/why/", show_why, "evaluation:read"),
    Page("{team}/generations/{uuid}/raw.json", download, "query:read"),
    post("{team}/generations/{uuid}/judge/", judge_now, "evaluation:write", asks=KAFKA),
    post("{team}/generations/{uuid}/dataset/", keep_in_dataset, "dataset:write"),
    Page("{team}/results/{uuid}/", show_result, "evaluation:read"),
    Page("{team}/traces/{trace:path}/", show_trace, "evaluation:read"),
)
