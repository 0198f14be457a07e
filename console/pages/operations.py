"""Pages for those who run Gavel: processes, budgets, dead letters, and replays of the past."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from api.http.errors import Invalid, NotFound, Unavailable
from api.services.letter_desk import LetterDesk, LetterQuery
from api.services.operations import all_budgets, heartbeats, open_jobs
from api.services.operations import replays as replays_of
from console.absences import KAFKA
from console.pages.registry import Page, post
from console.render import fragment, page
from console.visit import Visit

REASONS = ("decode", "too_large", "evaluator_bug", "expired", "sink_rejected")
_AGES = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
_LISTED = 200
_SHOWN_BYTES = 16_384


def health(visit: Visit) -> Response:
    """Show the processes of all roles."""
    return page(visit, "health.html", beats=heartbeats(visit.services))


def health_part(visit: Visit) -> Response:
    """Show the same without the frame, for the refresh."""
    return fragment(visit, "health_part.html", beats=heartbeats(visit.services))


def budgets(visit: Visit) -> Response:
    """Show the budgets of all teams, the fullest first."""
    return page(visit, "budgets.html", found=all_budgets(visit.services))


def replays(visit: Visit) -> Response:
    """Show backfills of all teams, and processes that replay."""
    return page(visit, "replays.html", **_replays(visit))


def replays_part(visit: Visit) -> Response:
    """Show the same without the frame, for the refresh."""
    return fragment(visit, "replays_part.html", **_replays(visit))


def _replays(visit: Visit) -> dict[str, Any]:
    return {"jobs": open_jobs(visit.services), "found": replays_of(visit.services)}


def letters(visit: Visit) -> Response:
    """Show the filters; the letters come as a panel, because the whole topic is read for them."""
    return page(
        visit,
        "letters.html",
        query=_query(visit),
        reasons=REASONS,
        ages=tuple(_AGES),
        age=visit.choice("age", tuple(_AGES)),
        done=visit.query("done"),
    )


def letter_list(visit: Visit) -> Response:
    """Show the open letters that the filter takes."""
    found = _desk(visit).find(_query(visit))
    return fragment(visit, "letter_list.html", found=found[:_LISTED], total=len(found), query=_query(visit))


def letter(visit: Visit) -> Response:
    """Show one letter with its headers and its bytes, as text or as hex."""
    identity = visit.path["letter"]
    found = _desk(visit).find(LetterQuery(ids=[identity]))
    if not found:
        raise NotFound(f"There is no open dead letter {identity[:40]}; it may have been redriven or purged.")
    value = found[0].value
    as_hex = visit.query("as") == "hex"
    shown = "" if value is None else _hex(value[:_SHOWN_BYTES]) if as_hex else _text(value[:_SHOWN_BYTES])
    size = None if value is None else len(value)
    return page(visit, "letter.html", letter=found[0], shown=shown, size=size, as_hex=as_hex, cut=_SHOWN_BYTES)


def change_letters(visit: Visit) -> Response:
    """Redrive or purge letters. The first time only their number is shown, as a dry run."""
    action = visit.field("action")
    query = LetterQuery(
        ids=visit.form.get("id") if visit.field("all") != "on" else None,
        reason=visit.field("reason"),
        stage=visit.field("stage"),
        since=visit.now - _AGES[visit.field("age")] if visit.field("age") in _AGES else None,
    )
    if query.ids is None and visit.field("all") != "on":
        raise Invalid("Choose at least one letter, or all that the filter takes.")
    if action == "purge":
        return _purge(visit, query)
    if action == "redrive":
        done = _desk(visit).redrive(query)
        refused = f" {len(done.refused)} stay: {done.refused[0][1]}." if done.refused else ""
        return _back(f"{done.sent} went back to where they came from.{refused}")
    found = _desk(visit).find(query)
    return page(visit, "letters_dry.html", found=found, query=query, age=visit.field("age"), all=visit.field("all"))


def _purge(visit: Visit, query: LetterQuery) -> Response:
    count = len(_desk(visit).find(query))
    if visit.field("count").strip() != str(count):
        raise Invalid(f"Type {count} to purge {count} letters. Nothing was purged.")
    return _back(f"{_desk(visit).purge(query)} are closed for good.")


def _back(done: str) -> Response:
    return RedirectResponse(f"/console/operations/dead-letters/?{urlencode({'done': done})}", 303)


def _query(visit: Visit) -> LetterQuery:
    age = visit.choice("age", tuple(_AGES))
    return LetterQuery(
        reason=visit.choice("reason", REASONS),
        stage=visit.query("stage")[:40],
        since=visit.now - _AGES[age] if age else None,
    )


def _desk(visit: Visit) -> LetterDesk:
    if visit.letters is None:
        raise Unavailable("This process has no access to the dead letters; use `gavel dlq`.")
    return visit.letters


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _hex(value: bytes) -> str:
    lines = []
    for start in range(0, len(value), 16):
        part = value[start : start + 16]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<47}  {plain}")
    return "\n".join(lines)


_READ, _WRITE = "operations:read", "operations:write"
PAGES = (
    Page("operations/health/", health, _READ),
    Page("operations/health/part/", health_part, _READ),
    Page("operations/budgets/", budgets, _READ),
    Page("operations/replays/", replays, _READ),
    Page("operations/replays/part/", replays_part, _READ),
    Page("operations/dead-letters/", letters, _READ),
    post("operations/dead-letters/", change_letters, _WRITE, asks=KAFKA),
    Page("operations/dead-letters/list/", letter_list, _READ, asks=KAFKA),
    Page("operations/dead-letters/{letter}/", letter, _READ, asks=KAFKA),
)
