from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.alpha import Metric, alpha

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example C: four observers, twelve units.
OBSERVERS: list[list[int | None]] = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
UNITS = [[rating for rating in unit if rating is not None] for unit in zip(*OBSERVERS, strict=True)]
ITEMS = st.lists(st.lists(st.integers(1, 5), max_size=4), max_size=15)


@pytest.mark.parametrize(("metric", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example(metric: Metric, published: float) -> None:
    assert alpha(UNITS, metric) == pytest.approx(published, abs=5e-4)


def by_pairs(items: Sequence[Sequence[int]], metric: Metric) -> float | None:
    """The definition, pair by pair: slow and plain."""
    items = [ratings for ratings in items if len(ratings) > 1]
    everything = [rating for ratings in items for rating in ratings]

    def distance(a: int, b: int) -> float:
        if metric == "nominal":
            return float(a != b)
        if metric == "interval":
            return float((a - b) ** 2)
        low, high = min(a, b), max(a, b)
        between = sum(everything.count(value) for value in range(low, high + 1))
        return (between - (everything.count(low) + everything.count(high)) / 2) ** 2 if a != b else 0.0

    observed = sum(sum(distance(a, b) for a, b in permutations(each, 2)) / (len(each) - 1) for each in items)
    expected = sum(distance(a, b) for a, b in permutations(everything, 2))
    return None if expected == 0 else 1 - (len(everything) - 1) * observed / expected


@given(ITEMS, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_one_pass_gives_what_all_pairs_give(items: list[list[int]], metric: Metric) -> None:
    assert alpha(items, metric) == pytest.approx(by_pairs(items, metric))


@given(ITEMS)
def test_full_agreement_is_1_and_one_value_is_undefined(items: list[list[int]]) -> None:
    agreeing = [[at] * len(ratings) for at, ratings in enumerate(items)]
    several = sum(len(ratings) > 1 for ratings in items) > 1
    assert alpha(agreeing) == (1 if several else None)
    assert alpha([[7] * len(ratings) for ratings in items], "interval") is None


def test_a_class_is_not_a_number() -> None:
    with pytest.raises(TypeError, match="'a' is not a number"):
        alpha([["a", "b"]], "interval")


def test_the_time_is_linear_in_the_ratings() -> None:
    """All pairs of 40 000 distinct scores would be 1.6·10⁹; it would not end."""
    scores = [[float(at), at + 0.5] for at in range(20_000)]
    assert alpha(scores, "ordinal") == pytest.approx(1, abs=1e-6)
    assert alpha(scores, "nominal") == pytest.approx(0, abs=1e-4)
