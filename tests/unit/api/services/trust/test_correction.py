"""Which labels the corrected pass rate of a window is made of."""

from __future__ import annotations

from typing import cast

import pytest

from api.services.trust.correction import corrected_rate
from api.services.trust.pairs import Drawn, Labelled, Pair
from storage.clickhouse.verdicts import JudgedTarget, WindowCounts

WINDOW = WindowCounts(passed=400, failed=600, scored=0, not_applicable=0, skipped=0)


def labelled(drawn: Drawn, *, in_window: bool) -> Labelled:
    """30 human passes and 30 human fails, of which the judge agrees with 27 each."""
    pairs = [
        Pair(
            target_event_id=f"{human}-{number}",
            drawn=drawn,
            in_window=in_window,
            human=human,
            judge=human is (number < 27),
            human_passes=human,
            judge_passes=human is (number < 27),
            result=cast("JudgedTarget", None),
        )
        for human in (True, False)
        for number in range(30)
    ]
    counts = {"labels": 60, "items": 60, "unresolved": 0, "unanswered": 0, "not_judged": 0}
    return Labelled(pairs=tuple(pairs), between=cast("object", None), consensuses=(), **counts)


@pytest.mark.parametrize(
    ("drawn", "in_window", "method"),
    [
        ("random", True, "post_stratified"),
        ("stratified", True, "post_stratified"),
        ("random", False, "rogan_gladen"),
        ("unsampled", False, "rogan_gladen"),
        ("unsampled", True, "rogan_gladen"),
    ],
)
def test_labels_correct_a_window_by_the_way_they_were_drawn(drawn: Drawn, in_window: bool, method: str) -> None:
    assert corrected_rate(labelled(drawn, in_window=in_window), WINDOW).method == method


def test_labels_of_a_stratified_queue_of_another_window_correct_nothing() -> None:
    """Such a queue selects by verdict, so its sensitivity and specificity are not those of the judge."""
    found = corrected_rate(labelled("stratified", in_window=False), WINDOW)
    assert (found.method, found.refused) == (None, "too_few")
