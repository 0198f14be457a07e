"""Which stored verdicts `gavel results --follow` shows: those that were stored after it asked for the newest ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from cli.main import build_app
from cli.results import is_wanted, was_stored_since
from cli.verdicts import VerdictLine
from processor.exit_codes import EXIT_USAGE
from storage.clickhouse.query import ConfidenceRange
from storage.clickhouse.results import ResultSelection


def line(event: str, minute: int) -> VerdictLine:
    return VerdictLine(datetime(2026, 11, 1, 10, minute, tzinfo=UTC), 1, "pass", "evaluation", "Short", "", event)


@pytest.mark.parametrize(
    ("given", "full", "expected"),
    [
        (line("b", 5), True, False),
        (line("c", 7), True, True),
        (line("a", 1), True, False),
        (line("a", 1), False, True),
    ],
)
def test_a_verdict_that_was_stored_between_two_looks_is_shown(given: VerdictLine, full: bool, expected: bool) -> None:
    assert was_stored_since(given, shown=[line("b", 5), line("d", 6)], full=full) is expected


@pytest.mark.parametrize(
    ("sure", "ends", "expected"),
    [(0.5, (0.5, None), True), (0.4, (0.5, None), False), (0.5, (None, 0.5), True), (None, (0.0, 1.0), False),
     (None, (None, None), True)],
)  # fmt: skip
def test_verdicts_as_they_happen_have_the_confidence_that_is_wanted(
    sure: float | None, ends: tuple[float | None, float | None], expected: bool
) -> None:
    selection = ResultSelection(1, confidence=ConfidenceRange(*ends))
    assert is_wanted(replace(line("a", 1), confidence=sure), selection, failing=False) is expected


@pytest.mark.parametrize("options", [("--min-confidence", "1.5"), ("--max-confidence", "nan"),
                                     ("--min-confidence", "0.9", "--max-confidence", "0.8")])  # fmt: skip
def test_a_confidence_that_is_none_is_a_wrong_usage(options: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(build_app(), ["results", *options])
    assert ended.exit_code == EXIT_USAGE
    assert ended.stderr.startswith("gavel: --min-confidence, --max-confidence: ")


def test_everything_is_news_where_nothing_was_stored() -> None:
    assert was_stored_since(line("a", 1), shown=[], full=False)
    assert was_stored_since(line("a", 1), shown=[], full=True)
