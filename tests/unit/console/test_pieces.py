"""Where the line of the pass rate is cut: at another definition, and where the judge moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api.services.one_evaluation import EvaluationCells
from console.buckets import Buckets
from console.pages.evaluation import _pieces
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
    buckets = Buckets(tuple(START + hour * HOUR for hour in range(9)), str)

    def shown(moved: dict[str, list[datetime]]) -> list[tuple[str, int]]:
        return [(piece.label, len(piece.points)) for piece in _pieces(found, buckets, moved)]

    assert shown({}) == [("v1", 2), ("v2", 6)]
    assert shown({"f2": [START + 5 * HOUR]}) == [("v1", 2), ("v2", 3), ("v2 moved", 3)]
    twice = {"f2": [START + 4 * HOUR, START + 6 * HOUR]}
    assert shown(twice) == [("v1", 2), ("v2", 2), ("v2 moved", 2), ("v2 moved 2", 2)]
    assert shown({"f1": [START + 5 * HOUR]}) == [("v1", 2), ("v2", 6)], "another version is not touched"
