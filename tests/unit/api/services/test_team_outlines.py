"""The outlines of a team: their order, and the tables that pages look up in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from api.http.errors import Invalid
from api.services.team_outlines import TeamOutlines
from storage.sql.evaluation_outlines import Outline

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PLAIN = Outline("a", "alpha", "hog", "active", None, None, "boolean", {}, None, 1, "f", NOW, NOW)
TEAM = TeamOutlines(
    7,
    [
        replace(PLAIN, id="z", name="Zeta", status="error", status_reason="hog_error"),
        PLAIN,
        replace(PLAIN, id="b", name="Beta", status="paused", evaluation_type="llm_judge"),
        replace(PLAIN, id="r", name="reversed", output_config={"true_is_failure": True}),
    ],
)


def test_they_are_in_the_order_of_their_names_in_any_case() -> None:
    assert [each.id for each in TEAM] == ["a", "b", "r", "z"]
    assert [each.id for each in TEAM.in_order({"z": 1, "unknown": 2, "b": 3})] == ["b", "z"]
    assert [each.id for each in TEAM[:2]] == ["a", "b"]


def test_they_are_counted_and_found() -> None:
    assert (len(TEAM), TEAM.enabled, [each.id for each in TEAM.stopped]) == (4, 2, ["z"])


def test_a_text_names_one_evaluation_or_is_refused() -> None:
    twins = TeamOutlines(1, [*TEAM, replace(PLAIN, id="t", name="Zeta"), replace(PLAIN, id="s", name=" spaced ")])
    assert (twins.named("a"), twins.named("alpha"), twins.named("spaced")) == ("a", "a", "s")
    for text in ("Zeta", "", "ALPHA", "alph", "a deleted evaluation"):
        with pytest.raises(Invalid):
            twins.named(text)
    assert [twins.written(each) for each in ("a", "z", "t", "s", "gone")] == ["alpha", "z", "t", "spaced", "gone"]


def test_only_rules_that_are_not_plain_are_kept() -> None:
    assert list(TEAM.rules) == ["r"]
    assert TEAM.rules["r"].true_is_failure


@pytest.mark.parametrize(
    ("text", "status", "kind", "found"),
    [
        ("", "", "", ["a", "b", "r", "z"]),
        ("ETA", "", "", ["b", "z"]),
        ("", "active", "", ["a", "r"]),
        ("", "", "llm_judge", ["b"]),
        ("eta", "error", "hog", ["z"]),
        ("nothing", "", "", []),
    ],
)
def test_a_filter_takes_what_holds_all_of_it(text: str, status: str, kind: str, found: list[str]) -> None:
    assert [each.id for each in TEAM.matching(text, status, kind)] == found
