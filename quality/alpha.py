"""Krippendorff's alpha: the agreement of any number of labellers, with gaps.

Every metric is computed in one pass over the ratings, because a score can have as many distinct values as there are
items, and a table of all pairs of values would not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

from quality.ranks import mean_ranks

Metric = Literal["nominal", "ordinal", "interval"]


def alpha(items: Sequence[Sequence[Hashable]], metric: Metric = "nominal") -> float | None:
    """Return alpha over the items that have at least two ratings.

    It is None if there are none, or if all their ratings are equal (Krippendorff, "Computing Krippendorff's
    Alpha-Reliability", 2011).

    Args:
        items: the ratings of each item, without gaps.
        metric: `nominal` for classes; `interval` for numbers, by squared distance; `ordinal` for numbers of which only
            the order counts.

    Raises:
        TypeError: a metric other than nominal met a rating that is not a number.
    """
    paired = [ratings for ratings in items if len(ratings) > 1]
    if metric == "nominal":
        return _nominal(paired)
    numbers = [[_number(rating) for rating in ratings] for ratings in paired]
    if metric == "ordinal":
        # The ordinal distance of two values counts the ratings from one to the other, half of their own included:
        # that is the distance of their mean ranks.
        ranks = mean_ranks([value for ratings in numbers for value in ratings])
        numbers = [[ranks[value] for value in ratings] for ratings in numbers]
    return _interval(numbers)


def _number(rating: Hashable) -> float:
    if isinstance(rating, bool) or not isinstance(rating, int | float):
        raise TypeError(f"the rating {rating!r} is not a number")
    return float(rating)


def _nominal(items: Sequence[Sequence[Hashable]]) -> float | None:
    observed = sum(_unequal_pairs(Counter(ratings)) / (len(ratings) - 1) for ratings in items)
    expected = _unequal_pairs(Counter(rating for ratings in items for rating in ratings))
    return _coefficient(observed, expected, sum(map(len, items)))


def _unequal_pairs(counts: Counter[Hashable]) -> float:
    return float(counts.total() ** 2 - sum(count * count for count in counts.values()))


def _interval(items: Sequence[Sequence[float]]) -> float | None:
    observed = sum(_squared_distances(ratings) / (len(ratings) - 1) for ratings in items)
    everything = [rating for ratings in items for rating in ratings]
    return _coefficient(observed, _squared_distances(everything), len(everything))


def _squared_distances(values: Sequence[float]) -> float:
    """Sum (a − b)² over all ordered pairs. The mean is taken away first, because large values would cancel."""
    if not values:
        return 0.0
    mean = sum(values) / len(values)
    return 2 * len(values) * sum((value - mean) ** 2 for value in values)


def _coefficient(observed: float, expected: float, ratings: int) -> float | None:
    return None if expected == 0 else 1 - (ratings - 1) * observed / expected
