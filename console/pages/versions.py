"""Versions of an evaluation side by side, and the way back to an earlier one."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import RedirectResponse, Response

from api.http.concurrency import Expected
from api.http.errors import Invalid, NotFound
from api.services import trust_desk
from api.services.definitions import change, find, history_of, patch, versions_of
from console.pages.registry import Page, post
from console.render import fragment, page
from console.visit import Visit

_MAX_LINES = 4_000
_FLIPS = 20
"""Flips that the page of versions shows; the page of the comparison has all."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a comparison. `kind` is empty for a line that both have."""

    left: str
    right: str
    kind: str


def show(visit: Visit) -> Response:
    """Show all versions, and the difference of two."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    versions = versions_of(visit.services, visit.reader.key, evaluation.id)
    numbers = [each.version for each in versions]
    newer = _number(visit.query("b"), numbers, numbers[0])
    older = _number(visit.query("a"), numbers, numbers[1] if len(numbers) > 1 else numbers[0])
    by_number = {each.version: each for each in versions}
    left, right = by_number[older].definition, by_number[newer].definition
    return page(
        visit,
        "versions.html",
        evaluation=evaluation,
        versions=versions,
        owner=visit.services.owners.of([each.created_by for each in versions]),
        a=older,
        b=newer,
        differences=[(name, list(lines)) for name, lines in _differences(left, right)],
        history=history_of(visit.services, visit.reader.key, evaluation.id)[:50],
        tag=f"{evaluation.version}-{evaluation.revision}",
        compared=None if older == newer else trust_desk.comparison_between(visit.services, evaluation, older, newer),
    )


def show_verdicts(visit: Visit) -> Response:
    """Show how the verdicts of two versions differ, by a comparison that was run."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    run = trust_desk.comparison_of(visit.bounded, evaluation, visit.path["run"])
    flips = trust_desk.flips_of(visit.bounded, evaluation, visit.path["run"])
    return fragment(visit, "versions_part.html", evaluation=evaluation, run=run, flips=flips[:_FLIPS], count=len(flips))


def restore(visit: Visit) -> Response:
    """Make an earlier version's judging the present one, as a new version."""
    key = visit.reader.key
    versions = versions_of(visit.services, key, visit.path["evaluation"])
    chosen = next((each for each in versions if str(each.version) == visit.field("version")), None)
    if chosen is None:
        raise NotFound("The evaluation has no such version; the page lists all of them.")
    version, _, revision = visit.field("tag").partition("-")
    if not (version.isdigit() and revision.isdigit()):
        raise Invalid("The form lacks the version that it was made from. Reload the page.")
    change(
        visit.services,
        key,
        visit.path["evaluation"],
        lambda current: patch(current, dict(chosen.definition)),
        expected=Expected(int(version), int(revision)),
    )
    return RedirectResponse(visit.link(f"evaluations/{visit.path['evaluation']}/versions/"), 303)


def _number(text: str, known: list[int], default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) in known else default


def _differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[tuple[str, Iterator[Line]]]:
    for name in dict.fromkeys((*left, *right)):
        before, after = _text(name, left.get(name)), _text(name, right.get(name))
        if before != after:
            yield name, _lines(before, after)


def _text(name: str, value: Any) -> list[str]:
    if name == "evaluation_config" and isinstance(value, dict):
        return str(value.get("prompt") or value.get("source") or "").splitlines()[:_MAX_LINES]
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()[:_MAX_LINES]


def _lines(before: list[str], after: list[str]) -> Iterator[Line]:
    """Yield the lines side by side; runs of equal lines are kept whole, because definitions are short."""
    for kind, a1, a2, b1, b2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        left, right = before[a1:a2], after[b1:b2]
        for place in range(max(len(left), len(right))):
            yield Line(
                left[place] if place < len(left) else "",
                right[place] if place < len(right) else "",
                "" if kind == "equal" else "changed",
            )


PAGES = (
    Page("{team}/evaluations/{evaluation}/versions/", show, "evaluation:read"),
    Page("{team}/evaluations/{evaluation}/versions/verdicts/{run}/", show_verdicts, "evaluation:read"),
    post("{team}/evaluations/{evaluation}/versions/", restore, "evaluation:write"),
)
