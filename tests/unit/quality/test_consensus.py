"""The consensus of labels, and the agreement between labellers."""

from __future__ import annotations

import pytest

from quality.alpha import alpha
from quality.consensus import Consensus, NoVote, Vote, between_labellers, consensus, criteria_unclear, vote_of

UNSURE = NoVote.UNSURE


@pytest.mark.parametrize(
    ("votes", "resolved", "verdict"),
    [
        ([True, True, False], True, True),
        ([True, False], False, None),
        ([], False, None),
        ([UNSURE], False, None),
        ([UNSURE, True], True, True),
        ([None, None, True], True, None),
        ([None, True], False, None),
        ([True, True, False, None, None], False, None),
        ([3.0, 4.0], True, 3.5),
        ([1.0, 5.0, 2.0], True, 2.0),
        ([None, 5.0, 2.0], True, 3.5),
        ([frozenset("a"), frozenset("a"), frozenset("b")], True, frozenset("a")),
        ([frozenset("a"), frozenset("b")], False, None),
        ([frozenset("ab"), frozenset("a"), frozenset("ac")], True, frozenset("a")),
        ([frozenset("ab"), frozenset("cd")], False, None),
        ([frozenset("ab"), frozenset("ab"), frozenset("b")], True, frozenset("ab")),
    ],
)
def test_the_leading_class_wins_and_a_tie_is_unresolved(votes: list[Vote], resolved: bool, verdict: Vote) -> None:
    found = consensus(votes)
    assert (found.resolved, found.verdict) == (resolved, verdict)
    assert found.votes + found.unsure == len(votes)


def test_who_adjudicates_decides_a_tie() -> None:
    assert consensus([True, False], decided=False) == Consensus(False, True, 2, 0)
    assert not consensus([True, False], decided=UNSURE).resolved


def test_labels_are_read_as_votes() -> None:
    assert vote_of({"applicable": True, "result": False}) is False
    assert vote_of({"applicable": True, "score": 3}) == 3.0
    assert vote_of({"applicable": True, "categories": ["a", "b"]}) == frozenset("ab")
    assert vote_of({"applicable": False}) is None
    assert vote_of({"unsure": True}) is UNSURE


def test_labellers_are_compared_with_the_consensus_of_the_others() -> None:
    items: list[dict[str, Vote]] = [
        {"ann": True, "bob": True}, {"ann": True, "bob": False}, {"ann": False, "bob": False, "cid": False},
        {"ann": True}, {"ann": True, "bob": UNSURE},
    ]  # fmt: skip
    found = between_labellers(items)
    assert found.items == 3
    assert found.alpha == alpha([[True, True], [True, False], [False, False, False]])
    by_name = {each.name: (each.items, each.agreement and each.agreement.value) for each in found.labellers}
    assert by_name == {"ann": (3, pytest.approx(2 / 3)), "bob": (3, pytest.approx(2 / 3)), "cid": (1, 1.0)}


def test_scores_are_compared_by_their_distance() -> None:
    items: list[dict[str, Vote]] = [{"ann": 1.0, "bob": 2.0}, {"ann": 5.0, "bob": 5.0}, {"ann": 3.0, "bob": None}]
    assert between_labellers(items).alpha == alpha([[1.0, 2.0], [5.0, 5.0], [3.0]], "interval")


def test_more_than_a_fifth_of_open_items_is_unclear() -> None:
    clear, tied = consensus([True]), consensus([True, False])
    assert not criteria_unclear([clear] * 4 + [tied])
    assert criteria_unclear([clear] * 3 + [tied])
    assert not criteria_unclear([])
