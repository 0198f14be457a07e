"""MOVER: the interval of a figure made of independent rates, from the intervals of the rates.

The distance to a bound is the root of the summed squares of what each rate alone moves the figure, from its value to
its own bounds ("square and add": Zou and Donner, Statistics in Medicine 2008, there for sums; here for any figure that
is monotone in each rate). Unlike a variance formula it keeps Wilson's good sense for few labels and extreme rates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

from quality.intervals import Estimate, Interval

Statistic = Callable[..., float]
"""A figure of as many rates as it is given."""


def mover(figure: Statistic, rates: Sequence[Estimate]) -> Estimate:
    """Return a figure of independent rates with its interval."""
    points = [each.value for each in rates]
    value = figure(*points)
    below = above = 0.0
    for at, each in enumerate(rates):
        reached = [value, *(figure(*points[:at], bound, *points[at + 1 :]) for bound in each.interval)]
        below += (value - min(reached)) ** 2
        above += (max(reached) - value) ** 2
    return Estimate(value, Interval(value - sqrt(below), value + sqrt(above)))
