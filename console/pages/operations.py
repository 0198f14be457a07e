"""Pages for those who run Gavel: processes, budgets, dead letters, and replays of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from api.http.errors import Invalid, NotFound, Unavailable
from api.services.letter_changes import purge, redrive
from api.services.letter_desk import LetterDesk, LetterQuery
from api.services.operations import all_budgets, open_jobs, processes
from api.services.operations import replays as replays_of
from console.absences import KAFKA
from console.pages.panels import Panel, panels_of
from console.pages.registry import Page, post
from console.pages.team_lists import audit
from console.render import fragment, page
from console.visit import Visit, read_number

REASONS = ("decode", "too_large", "evaluator_bug", "expired", "sink_rejected")
_AGES = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
_LISTED, _NAMED = 200, 20
_SHOWN_BYTES = 16_384
_LIST_S = 10.0
"""Seconds for the list of letters, because the whole topic is read for it."""


def health(visit: Visit) -> Response:
    """Show the processes of all roles."""
    return page(visit, "health.html", processes=processes(visit.services))


def health_part(visit: Visit) -> Response:
    """Show the same without the frame, for the refresh."""
    return fragment(visit, "health_part.html", processes=processes(visit.services))


def budgets(visit: Visit) -> Response:
    """Show the budgets of all teams, the fullest first."""
    found, cut = all_budgets(visit.services)
    return page(visit, "budgets.html", found=found, cut=cut)


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
    query = {name: visit.query(name) for name in ("reason", "stage", "age")} | dict(visit.state())
    return page(
        visit,
        "letters.html",
        panels=panels_of(visit, Panel("list", "the letters", _LIST, query=query, deadline_s=_LIST_S)),
        query=_query(visit),
        reasons=REASONS,
        ages=tuple(_AGES),
        age=visit.choice("age", tuple(_AGES)),
        done=visit.notice("done"),
    )


def letter_list(visit: Visit) -> Response:
    """Show the open letters that the filter takes."""
    query = _query(visit)
    found = _desk(visit).find(query, limit=_LISTED)
    return fragment(visit, "letter_list.html", found=found.newest, total=found.total, query=query)


def letter(visit: Visit) -> Response:
    """Show one letter with its headers and its bytes, as text or as hex."""
    identity = visit.path["letter"]
    found = _desk(visit).show(identity)
    if found is None:
        raise NotFound(f"There is no open dead letter {identity[:40]}; it may have been redriven or purged.")
    value = found.value
    as_hex = visit.query("as") == "hex"
    shown = "" if value is None else _hex(value[:_SHOWN_BYTES]) if as_hex else _text(value[:_SHOWN_BYTES])
    size = None if value is None else len(value)
    return page(visit, "letter.html", letter=found, shown=shown, size=size, as_hex=as_hex, cut=_SHOWN_BYTES)


def change_letters(visit: Visit) -> Response:
    """Redrive or purge letters. The first time only their number is shown, as a dry run.

    The dry run's form names the ends of the topic and the time from which it counted, so that no other letter is sent.
    """
    action = visit.field("action")
    query = _chosen(visit)
    if action == "purge":
        return _purge(visit, query)
    if action == "redrive":
        done = redrive(visit.services, visit.reader.key, _desk(visit), query)
        refused = f" {len(done.refused)} stay: {done.refused[0][1]}." if done.refused else ""
        gone = (read_number(visit.field("counted")) or 0) - done.sent - len(done.refused)
        closed = f" {gone} were closed by somebody else meanwhile." if gone > 0 else ""
        return _back(visit, f"{done.sent} went back to where they came from.{refused}{closed}")
    found = _desk(visit).find(query, limit=_NAMED)
    ends = " ".join(f"{partition}:{end}" for partition, end in found.ends.items())
    return page(visit, "letters_dry.html", found=found, query=query, ends=ends, all=visit.field("all"))


def _chosen(visit: Visit) -> LetterQuery:
    """Return the letters that a form chooses: some by id, or all that the filter takes."""
    every = visit.field("all") == "on"
    ids = None if every else visit.form.get("id")
    if ids is None and not every:
        raise Invalid("Choose at least one letter, or all that the filter takes.")
    age, since, ends = visit.field("age"), visit.field("since"), visit.field("ends")
    if every and not ends and visit.field("action") in ("redrive", "purge"):
        raise Invalid("Look at what would be sent first. Nothing was changed.")
    try:
        begin = datetime.fromisoformat(since).astimezone(UTC) if since else None
        places = [each.split(":") for each in ends.split()]
        before = {int(partition): int(end) for partition, end in places}
    except (ValueError, OverflowError) as error:
        raise Invalid("The form is damaged. Look again at what would be sent; nothing was changed.") from error
    if begin is None and age in _AGES:
        begin = visit.now - _AGES[age]
    reason, stage = visit.field("reason"), visit.field("stage")
    return LetterQuery(ids=ids, reason=reason, stage=stage, since=begin, ends=before or None)


def _purge(visit: Visit, query: LetterQuery) -> Response:
    count = _desk(visit).find(query, limit=0).total
    if visit.field("count").strip() != str(count):
        raise Invalid(f"Type {count} to purge {count} letters. Nothing was purged.")
    closed = purge(visit.services, visit.reader.key, _desk(visit), query)
    return _back(visit, f"{closed} are closed for good.")


def _back(visit: Visit, done: str) -> Response:
    return RedirectResponse(f"/console/operations/dead-letters/?{urlencode(visit.signed(done=done))}", 303)


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
_LIST = Page("operations/dead-letters/list/", letter_list, _READ, asks=KAFKA)
PAGES = (
    Page("operations/health/", health, _READ),
    Page("operations/health/part/", health_part, _READ),
    Page("operations/budgets/", budgets, _READ),
    Page("operations/audit/", audit, _READ),
    Page("operations/replays/", replays, _READ),
    Page("operations/replays/part/", replays_part, _READ),
    Page("operations/dead-letters/", letters, _READ),
    post("operations/dead-letters/", change_letters, _WRITE, asks=KAFKA),
    _LIST,
    Page("operations/dead-letters/{letter}/", letter, _READ, asks=KAFKA),
)
