"""Where the line of the pass rate is cut: at another definition, and where the judge moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from api.services.one_evaluation import EvaluationCells
from console.buckets import Buckets
from console.evaluation_charts import JudgeChange, changes_of, judges_of, pieces_of
from console.times import Zone
from storage.clickhouse.outcomes import OutcomeCell
from storage.clickhouse.query import PassRule

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def cell(hour: int, fingerprint: str, version: int) -> OutcomeCell:
    return OutcomeCell(
        evaluation_id="e", start=START + hour * HOUR, fingerprint=fingerprint, version=version, outcome="true",
        skip_reason="", result_type="boolean", score=0, categories=(), runs=10, cost_usd=0, tokens=0,
    )  # fmt: skip


def test_a_line_ends_at_another_definition_and_where_the_judge_moved() -> None:
    cells = [*(cell(hour, "f1", 1) for hour in range(2)), *(cell(hour, "f2", 2) for hour in range(2, 8))]
    found = EvaluationCells(cells, PassRule(), None, START)
    buckets = Buckets(tuple(START + hour * HOUR for hour in range(9)), Zone("UTC"))

    def shown(moved: dict[str, list[datetime]]) -> list[tuple[str, int]]:
        return [(piece.label, len(piece.points)) for piece in pieces_of(judges_of(found, buckets, moved), buckets)]

    assert shown({}) == [("v1", 2), ("v2", 6)]
    assert shown({"f2": [START + 5 * HOUR]}) == [("v1", 2), ("v2", 3), ("v2 moved", 3)]
    twice = {"f2": [START + 4 * HOUR, START + 6 * HOUR]}
    assert shown(twice) == [("v1", 2), ("v2", 2), ("v2 moved", 2), ("v2 moved 2", 2)]
    assert shown({"f1": [START + 5 * HOUR]}) == [("v1", 2), ("v2", 6)], "another version is not touched"


def test_a_line_is_not_joined_across_a_definition_that_was_tried_in_between() -> None:
    """Version 3 restores version 1, so both have one fingerprint, and version 2 judged in between."""
    cells = [
        *(cell(hour, "f1", 1) for hour in range(2)), *(cell(hour, "f2", 2) for hour in range(2, 5)),
        *(cell(hour, "f1", 3) for hour in range(5, 8)),
    ]  # fmt: skip
    buckets = Buckets(tuple(START + hour * HOUR for hour in range(9)), Zone("UTC"))
    judges = judges_of(EvaluationCells(cells, PassRule(), None, START), buckets, {})
    pieces = pieces_of(judges, buckets)
    assert [(piece.label, len(piece.points)) for piece in pieces] == [("v1", 2), ("v2", 3), ("v3", 3)]
    assert all(before.points[-1].at < after.points[0].at for before, after in pairwise(pieces))
    assert changes_of(judges) == [
        JudgeChange(START + 2 * HOUR, 2, before=1),
        JudgeChange(START + 5 * HOUR, 3, before=2),
    ]


def test_a_late_result_of_the_old_version_cuts_no_line() -> None:
    cells = [cell(0, "f1", 1), cell(1, "f1", 1), cell(1, "f2", 2), cell(2, "f1", 1), cell(2, "f2", 2), cell(3, "f2", 2)]
    buckets = Buckets(tuple(START + hour * HOUR for hour in range(5)), Zone("UTC"))
    judges = judges_of(EvaluationCells(cells, PassRule(), None, START), buckets, {})
    assert [(each.label, len(each.points)) for each in pieces_of(judges, buckets)] == [("v1", 3), ("v2", 3)]


def test_the_move_of_a_judge_is_an_event() -> None:
    cells = [cell(hour, "f1", 1) for hour in range(4)]
    buckets = Buckets(tuple(START + hour * HOUR for hour in range(5)), Zone("UTC"))
    judges = judges_of(EvaluationCells(cells, PassRule(), None, START), buckets, {"f1": [START + 2 * HOUR]})
    assert changes_of(judges) == [JudgeChange(START + 2 * HOUR, 1)]
