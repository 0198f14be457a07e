"""Parts of the samples of `benchmarks.trust`: a trial, its truth, and figures of tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quality.agreement import Classes, PassFail, ac1_of, kappa_of
from quality.intervals import Interval

RESULTS = 5_000
"""Judged results of a window."""
ERRORS = np.array([-2, -1, 0, 1, 2])


@dataclass(frozen=True, slots=True)
class Trial:
    """Where the truth lies in its range (0 to 1), the truth, and the interval, None where it is refused."""

    place: float
    truth: float
    interval: Interval | None


Draw = Callable[[np.random.Generator], Trial]


@dataclass(frozen=True, slots=True)
class Row:
    """An interval under test. `offered` intervals have the target."""

    name: str
    labels: str
    truths: str
    draw: Draw
    offered: bool = True


def placed(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    """Return a place from 0 to 1 and the value there."""
    place = float(rng.uniform())
    return place, low + place * (high - low)


def error_shares(exact: float) -> np.ndarray:
    rest = np.array([0.05, 0.3, 0.0, 0.5, 0.15]) * (1 - exact)
    rest[2] = exact
    return rest


def cell(row: int, column: int, of_row: bool) -> Callable[[np.ndarray], float]:
    def truth(shares: np.ndarray) -> float:
        return float(shares[row, column] / (shares[row] if of_row else shares[:, column]).sum())

    return truth


def accuracy_of(found: PassFail) -> Interval:
    return found.accuracy.interval


def sensitivity_of(found: PassFail) -> Interval | None:
    return None if found.sensitivity is None else found.sensitivity.interval


def specificity_of(found: PassFail) -> Interval | None:
    return None if found.specificity is None else found.specificity.interval


def ac1_interval(found: PassFail) -> Interval:
    return found.chance_corrected.ac1.interval


def accuracy_truth(shares: np.ndarray) -> float:
    return float(np.trace(shares))


def kappa_interval(found: PassFail) -> Interval | None:
    kappa = found.chance_corrected.kappa
    return None if kappa is None else kappa.interval


def class_kappa_interval(found: Classes) -> Interval | None:
    kappa = found.chance_corrected.kappa
    return None if kappa is None else kappa.interval


def kappa_truth(shares: np.ndarray) -> float:
    return kappa_of(shares.tolist()) or 0.0


def ac1_truth(shares: np.ndarray) -> float:
    return ac1_of(shares.tolist())
