"""Which stored verdicts `gavel results --follow` shows: those that were stored after it asked for the newest ones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cli.results import was_stored_since
from cli.verdicts import VerdictLine


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


def test_everything_is_news_where_nothing_was_stored() -> None:
    assert was_stored_since(line("a", 1), shown=[], full=False)
    assert was_stored_since(line("a", 1), shown=[], full=True)
