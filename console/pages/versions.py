"""Versions of an evaluation side by side, and the way back to an earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

from api.http.errors import NotFound
from api.services import trust_desk
from api.services.definitions import change, find, history_of, patch, versions_of
from console.differences import Line, as_lines, differences, side_by_side
from console.pages.editor import expected_of
from console.pages.panels import Panel, panels_of
from console.pages.registry import Page, post
from console.render import fragment, page
from console.visit import Visit, read_number

_HISTORY = 50
_COMPARED, _CHANGED = 400, 40
"""Lines of each side of a change that are compared, and changed lines that are shown."""
_FLIPS = 20
"""Flips that the page of versions shows; the page of the comparison has all."""


def show(visit: Visit) -> Response:
    """Show all versions, and the difference of two."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    versions = versions_of(visit.services, visit.reader.key, evaluation.id)
    numbers = [each.version for each in versions]
    newer = _number(visit.query("b"), numbers, numbers[0])
    older = _number(visit.query("a"), numbers, numbers[1] if len(numbers) > 1 else numbers[0])
    by_number = {each.version: each for each in versions}
    history = history_of(visit.services, visit.reader.key, evaluation.id)
    left, right = by_number[older].definition, by_number[newer].definition
    compared = None if older == newer else trust_desk.comparison_between(visit.services, evaluation, older, newer)
    panels = []
    if compared is not None:
        of = {"evaluation": evaluation.id, "run": str(compared.id)}
        panels.append(Panel("verdicts", "verdicts of both versions", _VERDICTS, of, visit.state()))
    return page(
        visit,
        "versions.html",
        panels=panels_of(visit, *panels),
        evaluation=evaluation,
        versions=versions,
        owner=visit.services.owners.of([each.created_by for each in versions]),
        a=older,
        b=newer,
        differences=differences(left, right),
        history=[(entry, _changes(entry.changes)) for entry in history[:_HISTORY]],
        tag=f"{evaluation.version}-{evaluation.revision}",
    )


def show_verdicts(visit: Visit) -> Response:
    """Show how the verdicts of two versions differ, by a comparison that was run."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    run = trust_desk.comparison_of(visit.services, evaluation, visit.path["run"])
    flips = trust_desk.flips_of(visit.services, evaluation, visit.path["run"])
    return fragment(visit, "versions_part.html", evaluation=evaluation, run=run, flips=flips[:_FLIPS], count=len(flips))


def restore(visit: Visit) -> Response:
    """Make an earlier version's judging the present one, as a new version."""
    key = visit.reader.key
    versions = versions_of(visit.services, key, visit.path["evaluation"])
    chosen = next((each for each in versions if str(each.version) == visit.field("version")), None)
    if chosen is None:
        raise NotFound("The evaluation has no such version; the page lists all of them.")
    expected = expected_of(visit.field("tag"))
    change(
        visit.services,
        key,
        visit.path["evaluation"],
        lambda current: patch(current, dict(chosen.definition)),
        expected=expected,
    )
    return RedirectResponse(visit.link(f"evaluations/{visit.path['evaluation']}/versions/"), 303)


def _number(text: str, known: list[int], default: int) -> int:
    number = read_number(text)
    return number if number is not None and number in known else default


def _changes(changes: Mapping[str, Any]) -> list[tuple[str, list[Line], bool]]:
    """Return the changed lines of each field of an entry of the audit trail, and whether some are left out."""
    found = []
    for name, both in changes.items():
        before, after = both if isinstance(both, list) and len(both) == 2 else (None, both)
        sides = ([] if each is None else as_lines(name, each)[:_COMPARED] for each in (before, after))
        lines = [each for each in side_by_side(*sides) if each.kind]
        found.append((name, lines[:_CHANGED], len(lines) > _CHANGED))
    return found


_VERDICTS = Page("{team}/evaluations/{evaluation}/versions/verdicts/{run}/", show_verdicts, "evaluation:read")
PAGES = (
    Page("{team}/evaluations/{evaluation}/versions/", show, "evaluation:read"),
    _VERDICTS,
    post("{team}/evaluations/{evaluation}/versions/", restore, "evaluation:write"),
)
