"""How figures become JSON: an estimate is `name` with `name_ci`, and a figure that is not defined is null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quality.agreement import ChanceCorrected, PassFail
from quality.compute.fields import Fields
from quality.intervals import Estimate, Interval
from quality.refusals import Refusal

ComputedAnswer = dict[str, Any]
Calculator = Callable[[Fields], ComputedAnswer]


def refused(refusal: Refusal) -> ComputedAnswer:
    """Return the answer that gives a reason and no figure."""
    missing = {"missing": dict(refusal.missing)} if refusal.missing else {}
    return {"refused": refusal.reason, **missing, **refusal.figures}


def too_few() -> ComputedAnswer:
    """Return the answer for data of which no figure can be computed at all."""
    return refused(Refusal("too_few"))


def interval(found: Interval | None) -> list[float] | None:
    """Return the two bounds."""
    return None if found is None else [found.low, found.high]


def estimate(name: str, found: Estimate | None) -> ComputedAnswer:
    """Return a figure and its interval."""
    if found is None:
        return {name: None, f"{name}_ci": None}
    return {name: found.value, f"{name}_ci": interval(found.interval)}


def pass_fail(found: PassFail) -> ComputedAnswer:
    """Return the agreement on pass and fail."""
    return {
        "n": found.n,
        "prevalence": found.prevalence,
        **estimate("accuracy", found.accuracy),
        **estimate("sensitivity", found.sensitivity),
        **estimate("specificity", found.specificity),
        **estimate("precision_pass", found.precision_pass),
        **estimate("precision_fail", found.precision_fail),
        **chance_corrected(found.chance_corrected),
    }


def chance_corrected(found: ChanceCorrected) -> ComputedAnswer:
    """Return kappa and AC1.

    `_ci` is the large-sample interval by the published variance, `_small_sample_ci` the one that also holds for few
    items.
    """
    answer: ComputedAnswer = {}
    for name, coefficient in (("kappa", found.kappa), ("ac1", found.ac1)):
        answer[name] = None if coefficient is None else coefficient.value
        answer[f"{name}_ci"] = None if coefficient is None else interval(coefficient.large_sample)
        answer[f"{name}_small_sample_ci"] = None if coefficient is None else interval(coefficient.interval)
    return {**answer, "headline": found.headline, "word": found.word}
