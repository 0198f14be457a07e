from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.consistency import consistency, flip_rate


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=8))
def test_the_flip_rate_is_the_share_of_pairs_that_differ(verdicts: list[str]) -> None:
    pairs = list(combinations(verdicts, 2))
    assert flip_rate(verdicts) == pytest.approx(sum(one != other for one, other in pairs) / len(pairs))


def test_items_with_one_verdict_say_nothing() -> None:
    found = consistency([["a"], [], ["a", "b"]])
    assert found is not None
    assert found.items == (None, None, 1)
    assert (found.flip_rate, found.unanimous, found.se) == (1, 0, None)
    assert consistency([["a"], []]) is None


def test_the_least_steady_items_come_first_and_steady_ones_not_at_all() -> None:
    runs = [["a", "a", "a"], ["a", "a", "b"], ["a", "b", "c"], ["a", "b", "b"]]
    found = consistency(runs)
    assert found is not None
    assert found.least_steady == (2, 1, 3)
    assert found.unanimous == 0.25
