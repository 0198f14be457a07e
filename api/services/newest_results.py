"""The newest results over all evaluations of a team, as pages list them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from clickhouse_connect.driver.client import Client

from api.services.cursors import read_cursor, to_cursor
from api.services.resources import Services
from api.services.team_outlines import PLAIN_RULE, TeamOutlines
from evaluators.verdict import VERDICT_NAMES, verdict_name
from storage.clickhouse.query import ANY_CONFIDENCE, ConfidenceRange, PageEnd, PassRule
from storage.clickhouse.recent import Decided, RecentResult, RecentSelection, newest
from storage.clickhouse.results import PREVIEW_CHARS, Verdict
from storage.clickhouse.rows import with_property

__all__ = ["PREVIEW_CHARS", "SEARCHED", "VERDICTS", "ResultList", "Wanted", "list_newest", "neighbours"]

VERDICTS = VERDICT_NAMES
_BACK = "-"
"""It stands before the cursor of a page of newer results."""
SEARCHED = 5_000
"""Results of which a page looks at the generations for a property. The next page goes on behind them."""
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Listed:
    """One result of a list, with the verdict that the evaluation's rule makes of it."""

    result: RecentResult
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ResultList:
    """One page.

    Attributes:
        cursor: where the page of older results begins; None on the last one.
        previous: where the page of newer results ends; None on the first one.
    """

    rows: tuple[Listed, ...]
    cursor: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The results beside one in a list, by their uuids; None at the ends."""

    newer: str | None
    older: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which results are listed. Empty texts select everything.

    Attributes:
        property_name, property_value: of the generation; without a value it only has to have the property.
        confidence: of the judge; a result without one is in no range.
    """

    team_id: int
    start: datetime
    end: datetime
    evaluation_id: str = ""
    verdict: str = ""
    model: str = ""
    prompt_version: str = ""
    trigger: str = ""
    text: str = ""
    property_name: str = ""
    property_value: str = ""
    confidence: ConfidenceRange = ANY_CONFIDENCE


def list_newest(
    services: Services, session: str, outlines: TeamOutlines, wanted: Wanted, *, limit: int, cursor: str = ""
) -> ResultList:
    """Return one page of results, newest first. Raises `Invalid` for a cursor that is not one."""
    rules = outlines.rules
    backwards = cursor.startswith(_BACK)
    place = read_cursor(cursor.removeprefix(_BACK))
    with services.pages.client(session) as client:
        part = _read(
            client, wanted, rules, limit + 1, behind=None if backwards else place, ahead=place if backwards else None
        )
    found, more = part.rows, len(part.rows) > limit
    found = found[-limit:] if backwards else found[:limit]
    first = _place(found[0]) if found else part.stopped or place
    last = _place(found[-1]) if found else part.stopped or place
    if not more and part.stopped is not None:  # the next page goes on where the search for the property stopped
        first, last, more = (part.stopped, last, True) if backwards else (first, part.stopped, True)
    older = to_cursor(last.timestamp, last.uuid) if last and (more or backwards) else None
    is_first = not more if backwards else place is None
    newer = _BACK + to_cursor(first.timestamp, first.uuid) if first and not is_first else None
    return ResultList(tuple(Listed(each, _verdict(each, rules)) for each in found), older, newer)


@dataclass(frozen=True, slots=True)
class _Read:
    """Results, newest first. `stopped` is where the search ended before there were enough; None at the list's end."""

    rows: list[RecentResult]
    stopped: PageEnd | None = None


def _read(
    client: Client, wanted: Wanted, rules: Mapping[str, PassRule], limit: int, *, behind: PageEnd | None = None,
    ahead: PageEnd | None = None,
) -> _Read:  # fmt: skip
    selection = _selection(wanted, rules)
    if not wanted.property_name:
        return _Read(newest(client, selection, limit=limit, behind=behind, ahead=ahead))
    found: list[RecentResult] = []
    for _ in range(SEARCHED // _AT_ONCE):
        part = newest(client, selection, limit=_AT_ONCE, behind=behind, ahead=ahead)
        if not part:
            return _Read(found)
        targets = sorted({each.target_event_id for each in part})
        having = with_property(client, wanted.team_id, targets, wanted.property_name, wanted.property_value)
        matching = [each for each in part if each.target_event_id in having]
        if ahead is None:
            found, behind = found + matching, _place(part[-1])
        else:
            found, ahead = matching + found, _place(part[0])
        if len(found) >= limit:
            return _Read(found[:limit] if ahead is None else found[-limit:])
        if len(part) < _AT_ONCE:
            return _Read(found)
    return _Read(found, ahead or behind)


def _place(result: RecentResult) -> PageEnd:
    return PageEnd(result.timestamp, result.uuid)


def neighbours(
    services: Services, session: str, outlines: TeamOutlines, wanted: Wanted, timestamp: datetime, uuid: str
) -> Neighbours:
    """Return the results beside one in the list of those that are wanted."""
    place, rules = PageEnd(timestamp, uuid), outlines.rules
    with services.pages.client(session) as client:
        # A result that was written again lies there twice, so the nearest one may be the same.
        older = _read(client, wanted, rules, 2, behind=place).rows
        newer = _read(client, wanted, rules, 2, ahead=place).rows
    return Neighbours(
        next((each.uuid for each in reversed(newer) if each.uuid != uuid), None),
        next((each.uuid for each in older if each.uuid != uuid), None),
    )


def _selection(wanted: Wanted, rules: Mapping[str, PassRule]) -> RecentSelection:
    return RecentSelection(
        team_id=wanted.team_id,
        start=wanted.start,
        end=wanted.end,
        evaluation_id=wanted.evaluation_id or None,
        decided=Decided(wanted.verdict == "pass", rules) if wanted.verdict in ("pass", "fail") else None,
        outcome=wanted.verdict if wanted.verdict in ("scored", "not_applicable", "skipped") else None,
        model=wanted.model or None,
        prompt_version=wanted.prompt_version or None,
        trigger=wanted.trigger or None,
        text=wanted.text or None,
        confidence=wanted.confidence,
    )


def _verdict(result: RecentResult, rules: Mapping[str, PassRule]) -> Verdict:
    if result.outcome == "skipped" or result.outcome == "not_applicable":
        return "skipped" if result.outcome == "skipped" else "not_applicable"
    rule = rules.get(result.evaluation_id, PLAIN_RULE)
    passes = rule.reads(result.outcome, result.result_type, result.numeric_result, result.categorical_result)
    return verdict_name(passes)
