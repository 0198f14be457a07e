"""The newest results over all evaluations of a team, as pages list them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from api.http.errors import Invalid
from api.services.resources import Services
from api.services.team_outlines import PLAIN_RULE, TeamOutlines
from storage.clickhouse.query import PassRule
from storage.clickhouse.recent import Decided, PageEnd, RecentResult, RecentSelection, newest
from storage.clickhouse.results import Verdict

VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "scored", "not_applicable", "skipped")


@dataclass(frozen=True, slots=True)
class Listed:
    """One result of a list, with the verdict that the evaluation's rule makes of it."""

    result: RecentResult
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ResultList:
    """One page.

    Attributes:
        cursor: where the next page begins; None on the last one.
    """

    rows: tuple[Listed, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which results are listed. Empty texts select everything."""

    team_id: int
    start: datetime
    end: datetime
    evaluation_id: str = ""
    verdict: str = ""
    model: str = ""
    prompt_version: str = ""
    trigger: str = ""
    text: str = ""


def list_newest(
    services: Services, session: str, outlines: TeamOutlines, wanted: Wanted, *, limit: int, cursor: str = ""
) -> ResultList:
    """Return one page of results, newest first. Raises `Invalid` for a cursor that is not one."""
    rules = outlines.rules
    selection = RecentSelection(
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
    )
    with services.pages.client(session) as client:
        found = newest(client, selection, limit=limit + 1, behind=_place(cursor) if cursor else None)
    rows = tuple(Listed(each, _verdict(each, rules)) for each in found[:limit])
    return ResultList(rows, _cursor(found[limit - 1]) if len(found) > limit else None)


def _verdict(result: RecentResult, rules: Mapping[str, PassRule]) -> Verdict:
    if result.outcome == "skipped" or result.outcome == "not_applicable":
        return "skipped" if result.outcome == "skipped" else "not_applicable"
    rule = rules.get(result.evaluation_id, PLAIN_RULE)
    passes = rule.reads(result.outcome, result.result_type, result.numeric_result, result.categorical_result)
    return "scored" if passes is None else "pass" if passes else "fail"


def _cursor(result: RecentResult) -> str:
    moment = result.timestamp.astimezone(UTC).isoformat()
    return urlsafe_b64encode(f"{moment}|{result.uuid}".encode()).decode().rstrip("=")


def _place(cursor: str) -> PageEnd:
    try:
        moment, _, uuid = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
        found = datetime.fromisoformat(moment)
    except ValueError as error:
        raise Invalid("The cursor is not one of a page of this list.", attr="cursor") from error
    return PageEnd(found if found.tzinfo else found.replace(tzinfo=UTC), uuid)
