"""A conversation with every verdict beside it, and why each evaluation ran or did not.

Who may read evaluations sees the verdicts. The event itself, which the API shows by `query:read` only, needs that scope
here too.
"""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from api.http.errors import Invalid, NotFound
from api.services.conversations import (
    Verdicts,
    VerdictShown,
    archived_generation,
    find_generation,
    how_judged_on,
    judged_on,
    one_verdict,
    raw_json,
    rest_of_message,
    show_generation,
    trace_part,
    verdicts_of,
    why_on,
)
from api.services.datasets import add_generation, dataset_names
from api.services.definitions import find
from api.services.event_access import READ_EVENTS
from api.services.labels_beside import labels_beside
from api.services.manual_runs import start_run
from api.services.newest_results import Neighbours, neighbours
from api.services.readings import reading_of
from api.services.turns import MAX_MESSAGE, MAX_PAGE, TextPlace, read_place
from console.absences import KAFKA
from console.code import json_code
from console.markdown import to_html
from console.pages.panels import Panel, panels_of
from console.pages.registry import Page, post
from console.pages.results import filter_of, wanted_results
from console.render import fragment, page
from console.visit import Visit, read_number

_READ, _EVENTS = "evaluation:read", READ_EVENTS
_WHYS = 25
_MAX_ID = 200
_TRACE_VERDICTS = 30
_FORMATTED = 2 * MAX_MESSAGE
"""Characters of a page that are rendered as Markdown, because that takes seconds for a text that is made to be slow."""


def show(visit: Visit) -> Response:
    """Show one generation."""
    return _show(visit, visit.path["uuid"])


def show_result(visit: Visit) -> Response:
    """Show the generation of one result, with that verdict opened and in front."""
    uuid = visit.path["uuid"]
    with visit.services.pages.client(visit.reader.session) as client:
        found = one_verdict(client, visit.team, visit.outlines.by_id, uuid)
    if found is None:
        raise NotFound("There is no such result in this team.")
    beside = None
    if visit.query("range") or visit.query("from"):  # the reader comes from a list
        wanted = wanted_results(visit, visit.period("7d"), visit.query("evaluation"))
        beside = neighbours(visit.services, visit.reader.session, visit.outlines, wanted, found.result.timestamp, uuid)
    return _show(visit, found.result.target_event_id, opened=found, beside=beside)


def _show(visit: Visit, uuid: str, *, opened: VerdictShown | None = None, beside: Neighbours | None = None) -> Response:
    with visit.services.pages.client(visit.reader.session) as client:
        row = find_generation(client, visit.team, uuid)
        verdicts = verdicts_of(client, visit.team, visit.outlines.by_id, event=uuid)
        if opened is not None:
            verdicts = verdicts.opened(opened)
        how = how_judged_on(client, visit.team, [verdicts])
    if row is None and not verdicts.rows:
        raise NotFound("There is no such generation in the archive of this team.")
    start, entry = read_number(visit.query("turn")) or 0, read_number(visit.query("entry")) or 0
    formatted = visit.query("view") == "formatted"
    budget = _FORMATTED if formatted else MAX_PAGE
    readable = visit.may(_EVENTS)
    opened_id = opened.result.id if opened else ""
    reading = reading_of(visit.services, verdicts, how, visit.query("read") or opened_id) if readable else None
    shown = None
    if row is not None and readable:
        shown = show_generation(row, start=start, entry=entry, budget=budget, limit=reading.limit if reading else None)
    panels = []
    if visit.may("label:read"):
        panels.append(Panel("labels", "answers of people", _LABELS, {"uuid": uuid}, visit.state()))
    if row is not None and not (shown and shown.problem):
        panels.append(Panel("why", "reasons", _WHY, {"uuid": uuid}, {"ask": visit.query("ask"), **visit.state()}))
    return page(
        visit,
        "generation.html",
        uuid=uuid,
        panels=panels_of(visit, *panels),
        archived=row is not None,
        readable=readable,
        shown=shown,
        reading=reading,
        is_first=not (start or entry),
        verdicts=verdicts,
        how=how,
        opened=opened_id,
        beside=beside,
        trail=filter_of(visit, visit.query("evaluation")),
        formatted=formatted,
        to_html=to_html,
        json_code=json_code,
        outlines=visit.outlines,
        datasets=dataset_names(visit.services, visit.team) if visit.may("dataset:write") and readable else [],
        done=visit.notice("done"),
    )


def show_rest(visit: Visit) -> Response:
    """Show a message of a generation from a place on."""
    place, number = read_place(visit.query("from", str(TextPlace()))), read_number(visit.path["number"])
    uuid = visit.path["uuid"]
    with visit.services.pages.client(visit.reader.session) as client:
        row = archived_generation(client, visit.team, uuid)
    limit, entry = read_number(visit.query("limit")) or None, read_number(visit.query("entry")) or 0
    turn = None if place is None or number is None else rest_of_message(row, number, place, entry=entry, limit=limit)
    if turn is None:
        raise NotFound("The generation has no such message.")
    return fragment(visit, "message_part.html", uuid=uuid, turn=turn, limit=limit, entry=entry, json_code=json_code)


def show_labels(visit: Visit) -> Response:
    """Show the labels of a generation, and which of them the judge contradicts."""
    visit.need(_READ)
    uuid = visit.path["uuid"]
    with visit.services.pages.client(visit.reader.session) as client:
        verdicts = verdicts_of(client, visit.team, visit.outlines.by_id, event=uuid)
    labels, more = labels_beside(visit.services, visit.team, uuid, verdicts)
    return fragment(visit, "labels_beside.html", labels=labels, more=more, name_of=visit.outlines.name_of)


def show_why(visit: Visit) -> Response:
    """Explain, for evaluations without a result here, or for the one that is named, why there is none."""
    uuid, text = visit.path["uuid"], visit.query("ask").lower()
    with visit.services.pages.client(visit.reader.session) as client:
        row = archived_generation(client, visit.team, uuid)
        judged = judged_on(client, visit.team, uuid)
    named = visit.outlines.matching(text, "", "")
    wanted = sorted((each for each in named if text or each.id not in judged), key=lambda each: each.status != "active")
    found: list[tuple[object, object, str]] = []
    for outline in wanted[:_WHYS]:
        evaluation = find(visit.services, visit.reader.key, outline.id)
        try:
            found.append((outline, why_on(evaluation, row, readable=visit.may(_EVENTS)), ""))
        except Invalid as error:
            found.append((outline, None, error.detail))
    more = max(0, len(wanted) - _WHYS)
    values = {"found": found, "more": more}
    return fragment(visit, "why.html", **values, uuid=uuid, text=visit.query("ask"))


def show_trace(visit: Visit) -> Response:
    """Show some generations of a trace, oldest first, with their verdicts."""
    trace, cursor, readable = visit.path["trace"][:_MAX_ID], visit.query("cursor"), visit.may(_EVENTS)
    by_id = visit.outlines.by_id
    with visit.services.pages.client(visit.reader.session) as client:
        part = trace_part(client, visit.team, trace, cursor=cursor, readable=readable)
        verdicts = [
            verdicts_of(client, visit.team, by_id, event=each.uuid, limit=_TRACE_VERDICTS) for each in part.shown
        ]
        # Results can outlive their generations.
        others = verdicts_of(client, visit.team, by_id, trace=trace) if not part.shown else Verdicts()
        how = how_judged_on(client, visit.team, [*verdicts, others])
    if not part.shown and not others.rows:
        raise NotFound("The archive of this team has no such trace.")
    return page(
        visit,
        "trace.html",
        trace=trace,
        readable=readable,
        generations=list(zip(part.shown, verdicts, strict=True)),
        others=others,
        how=how,
        cursor=part.cursor,
        to_html=to_html,
        json_code=json_code,
    )


def download(visit: Visit) -> Response:
    """Send the event as it was archived, as a file."""
    with visit.services.pages.client(visit.reader.session) as client:
        row = archived_generation(client, visit.team, visit.path["uuid"])
    headers = {"Content-Disposition": 'attachment; filename="generation.json"'}
    return Response(raw_json(row), media_type="application/json", headers=headers)


def judge_now(visit: Visit) -> Response:
    """Ask for a run of one evaluation on this generation."""
    evaluation = find(visit.services, visit.reader.key, visit.outlines.named(visit.field("evaluation")))
    with visit.services.pages.client(visit.reader.session) as client:
        row = archived_generation(client, visit.team, visit.path["uuid"])
    start_run(visit.services, visit.reader.key, evaluation, row)
    return _back(visit, f"{evaluation.name[:80]} is judging this; its verdict appears here.")


def keep_in_dataset(visit: Visit) -> Response:
    """Add the generation to a dataset."""
    visit.need(_EVENTS)  # a dataset shows the conversation
    with visit.services.pages.client(visit.reader.session) as client:
        row = archived_generation(client, visit.team, visit.path["uuid"])
    name = add_generation(visit.services, visit.reader.key, visit.field("dataset"), row)
    return _back(visit, f"Added to {name[:80]}.")


def _back(visit: Visit, done: str) -> Response:
    return RedirectResponse(visit.link(f"generations/{visit.path['uuid']}/", done=done), 303)


_WHY = Page("{team}/generations/{uuid}/why/", show_why, _READ)
_LABELS = Page("{team}/generations/{uuid}/labels/", show_labels, "label:read")
PAGES = (
    Page("{team}/generations/{uuid}/", show, _READ),
    _WHY,
    _LABELS,
    Page("{team}/generations/{uuid}/messages/{number}/", show_rest, _EVENTS),
    Page("{team}/generations/{uuid}/raw.json", download, _EVENTS),
    post("{team}/generations/{uuid}/judge/", judge_now, "evaluation:write", asks=KAFKA),
    post("{team}/generations/{uuid}/dataset/", keep_in_dataset, "dataset:write"),
    Page("{team}/results/{uuid}/", show_result, _READ),
    Page("{team}/traces/{trace:path}/", show_trace, _READ),
)
