"""Did the live pass rate shift? A sequential test that may be looked at after every window, for ever.

Without a shift the decided results of one version are exchangeable: given the passes of the baseline and the next
block together, each way to deal them out is equally likely. The passes in the block are then hypergeometric, whatever
the pass rate is, and the smoothed p values of successive blocks are independent and uniform (V. Vovk, A. Gammerman and
G. Shafer, "Algorithmic Learning in a Random World", 2005, chapter 2: conformal transducers). Bets against them are a
conformal test martingale, and their Shiryaev-Roberts sum raises on average at most one false alarm in `ALARM` blocks,
however often one looks (V. Vovk et al., "Retrain or not retrain: conformal test martingales for change-point
detection", COPA 2021; J. Shin, A. Ramdas and A. Rinaldo, "E-detectors", arXiv 2203.03532).

The test assumes that results do not depend on the hour. A product whose traffic differs by day and night shifts twice
a day, and the test says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Literal

from quality.drift import mean_of_evidence, next_evidence
from quality.independent import log_choose

Direction = Literal["up", "down"]

ALARM = 100_000.0
"""The statistic at which a shift is signalled: at most one false alarm per so many blocks on average."""
BLOCK = 30
"""Least decided results of a block; a minute with fewer is joined to the next."""
BASELINE = 100
"""Least decided results before the first block is compared."""
EFFECTS = (0.1, 0.2, 0.4, 0.8)
"""The shifts that are bet on, in standard deviations of one result: 0.2 is 10 points at a pass rate of 50 %."""
_BETS = (*EFFECTS, *(-effect for effect in EFFECTS))
_MOVING = 10.0
"""Above this statistic the results belong to a possible shift, and are shown apart from the baseline."""
_NORMAL = NormalDist()
_LEAST_P = 1e-300


@dataclass(frozen=True, slots=True)
class Counts:
    """Decided results and the passes among them."""

    passed: int = 0
    decided: int = 0

    def plus(self, other: Counts) -> Counts:
        """Return both together."""
        return Counts(self.passed + other.passed, self.decided + other.decided)

    def minus(self, other: Counts) -> Counts:
        """Return these without the others, which are among them."""
        return Counts(self.passed - other.passed, self.decided - other.decided)

    @property
    def rate(self) -> float | None:
        """The pass rate, or None without results."""
        return self.passed / self.decided if self.decided else None


@dataclass(frozen=True, slots=True)
class Shift:
    """A signalled shift: the rate before it, and the rate since the evidence began to rise."""

    direction: Direction
    before: Counts
    after: Counts
    statistic: float


@dataclass(frozen=True, slots=True)
class ShiftDetector:
    """The state of the test of one version, which each block replaces by the next. Its size does not grow.

    Attributes:
        baseline: all results since the version began or since its last shift.
        moving: the newest of them, since the statistic was last small.
        evidence: log(1 + M) of each bet, as in `quality.drift`.
        blocks: blocks that were compared.
    """

    baseline: Counts = Counts()
    moving: Counts = Counts()
    evidence: tuple[float, ...] = (0.0,) * len(_BETS)
    blocks: int = 0

    def after(self, block: Counts, draw: float) -> tuple[ShiftDetector, Shift | None]:
        """Return the state after `block`, and the shift that it shows.

        After a shift the test begins anew with the results since the shift as its baseline.

        Args:
            draw: a number from 0 to 1 that does not depend on the block's results, such as a hash of its time. It
                smooths the p value; with the same draws a repetition comes to the same answer.

        Raises:
            ValueError: the block has more passes than results.
        """
        if not 0 <= block.passed <= block.decided:
            raise ValueError(f"{block.passed} passes of {block.decided} results cannot be")
        together = self.baseline.plus(block)
        if self.baseline.decided < BASELINE or not block.decided:
            return replace(self, baseline=together), None
        score = _score(self.baseline, block, draw)
        size = sqrt(block.decided * self.baseline.decided / together.decided)
        evidence = tuple(
            next_evidence(old, effect * size * score - (effect * size) ** 2 / 2)
            for old, effect in zip(self.evidence, _BETS, strict=True)
        )
        statistic = mean_of_evidence(evidence)
        moving = self.moving.plus(block) if statistic > log(_MOVING) else Counts()
        if statistic < log(ALARM):
            return ShiftDetector(together, moving, evidence, self.blocks + 1), None
        up = max(evidence[: len(EFFECTS)]) > max(evidence[len(EFFECTS) :])
        shift = Shift("up" if up else "down", together.minus(moving), moving, exp(min(statistic, 709.0)))
        return ShiftDetector(baseline=moving), shift

    @property
    def statistic(self) -> float:
        """The mean of the bets' M, compared with `ALARM`."""
        return exp(min(mean_of_evidence(self.evidence), 709.0))


def _score(baseline: Counts, block: Counts, draw: float) -> float:
    """Return the normal score of the block's smoothed p value: standard normal without a shift, large with more passes.

    It sums the shorter tail, so it keeps its precision far out.
    """
    below, equal, above = hypergeometric_tails(baseline, block)
    low = below + draw * equal
    high = above + (1 - draw) * equal
    if low < high:
        return _NORMAL.inv_cdf(max(low, _LEAST_P))
    return -_NORMAL.inv_cdf(max(high, _LEAST_P))


def hypergeometric_tails(baseline: Counts, block: Counts) -> tuple[float, float, float]:
    """Return the chances of fewer, as many, and more passes in `block`, given the passes of both together.

    The cost is a few standard deviations of the block's passes: the terms of a tail shrink at least geometrically
    behind the mode, and the sum stops where they no longer count.
    """
    passes = baseline.passed + block.passed
    fails = baseline.decided + block.decided - passes
    drawn, found = block.decided, block.passed
    equal = exp(log_choose(passes, found) + log_choose(fails, drawn - found) - log_choose(passes + fails, drawn))
    if found * (passes + fails) > drawn * passes:  # above the mean: the upper tail is the shorter one
        above = _tail(equal, found, drawn, passes, fails, up=True)
        return max(0.0, 1 - equal - above), equal, above
    below = _tail(equal, found, drawn, passes, fails, up=False)
    return below, equal, max(0.0, 1 - equal - below)


def _tail(term: float, found: int, drawn: int, passes: int, fails: int, *, up: bool) -> float:
    """Return the chance of more (`up`) or of fewer than `found`, by the ratio of successive terms."""
    total = 0.0
    while term > 0:
        if up:
            ratio = (passes - found) * (drawn - found) / ((found + 1) * (fails - drawn + found + 1))
            found += 1
        else:
            ratio = found * (fails - drawn + found) / ((passes - found + 1) * (drawn - found + 1))
            found -= 1
        term *= max(0.0, ratio)
        total += term
        if ratio < 1 and term * ratio / (1 - ratio) < total * 1e-17:
            break
    return total
