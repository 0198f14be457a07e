"""The kinds of request about rates: their intervals, their correction, and how many labels that takes."""

from __future__ import annotations

from quality.allocation import Pilot, golden_sizes, labels_for, neyman
from quality.compute.answers import Calculator, ComputedAnswer, interval, refused, too_few
from quality.compute.fields import BadInput, Fields, between, choice, count, list_of, number, or_gap, share
from quality.intervals import clopper_pearson, rate, wilson
from quality.post_stratified import STRATUM_MINIMUM, Stratified, post_stratified
from quality.refusals import Refusal
from quality.rogan_gladen import Golden, rogan_gladen


def _interval(fields: Fields) -> ComputedAnswer:
    trials = fields.read("trials", count)
    successes = fields.part("successes", trials, "input.trials")
    exact = fields.read_or("method", choice("wilson", "clopper_pearson"), "wilson") == "clopper_pearson"
    found = (clopper_pearson if exact else wilson)(successes, trials)
    return too_few() if found is None else {"rate": successes / trials, "ci": interval(found)}


def read_stratified(fields: Fields) -> Stratified:
    """Read the counts of a window and of the labels in its two strata."""
    judged = fields.read("judged", count)
    judged_pass = fields.part("judged_pass", judged, "input.judged")
    labelled_pass = fields.part("labelled_pass", judged_pass, "input.judged_pass")
    labelled_fail = fields.part("labelled_fail", judged - judged_pass, "input.judged − input.judged_pass")
    return Stratified(
        judged=judged,
        judged_pass=judged_pass,
        labelled_pass=labelled_pass,
        labelled_pass_true=fields.part("labelled_pass_true", labelled_pass, "input.labelled_pass"),
        labelled_fail=labelled_fail,
        labelled_fail_true=fields.part("labelled_fail_true", labelled_fail, "input.labelled_fail"),
    )


def _post_stratified(fields: Fields) -> ComputedAnswer:
    counts = read_stratified(fields)
    found = post_stratified(counts)
    raw = _raw(counts.judged_pass, counts.judged)
    if isinstance(found, Refusal):
        return {**refused(found), **raw}
    return {"method": "post_stratified", "rate": found.value, "ci": interval(found.interval), **raw}


def _rogan_gladen(fields: Fields) -> ComputedAnswer:
    judged = fields.read("judged", count)
    judged_pass = fields.part("judged_pass", judged, "input.judged")
    golden = _read_golden(fields, "")
    asked = any(fields.has(f"window_{name}") for name in _GOLDEN)
    window = _read_golden(fields, "window_") if asked else None
    found = rogan_gladen(judged, judged_pass, golden, window)
    raw = _raw(judged_pass, judged)
    if isinstance(found, Refusal):
        return {**refused(found), **raw}
    return {
        "method": "rogan_gladen",
        "youden": found.youden,
        "youden_low": found.youden_low,
        "rate": found.rate.value,
        "ci": interval(found.rate.interval),
        **raw,
    }


SMALLEST_HALF_WIDTH = 0.0001
MOST_LABELS = 1_000_000
"""Labels of one class. Fisher's exact test takes time in proportion to them."""
_GOLDEN = ("human_pass", "human_pass_agreed", "human_fail", "human_fail_agreed")


def _read_golden(fields: Fields, prefix: str) -> Golden:
    passes, passes_agreed, fails, fails_agreed = (f"{prefix}{name}" for name in _GOLDEN)
    human_pass, human_fail = fields.read(passes, _labels), fields.read(fails, _labels)
    return Golden(
        human_pass=human_pass,
        human_pass_agreed=fields.part(passes_agreed, human_pass, f"input.{passes}"),
        human_fail=human_fail,
        human_fail_agreed=fields.part(fails_agreed, human_fail, f"input.{fails}"),
    )


def _labels(value: object, place: str) -> int:
    found = count(value, place)
    if found > MOST_LABELS:
        raise BadInput(place, f"must be from 0 to {MOST_LABELS}, not {found}")
    return found


def _raw(judged_pass: int, judged: int) -> ComputedAnswer:
    """Return the rate as the judge sees it."""
    found = rate(judged_pass, judged)
    return {} if found is None else {"raw": found.value, "raw_ci": interval(found.interval)}


def _ppi(fields: Fields) -> ComputedAnswer:
    human, judge = fields.pairs("labelled_human", "labelled_judge", number)
    unlabelled = fields.read("unlabelled_judge", list_of(number))
    power = fields.read_or("lambda", or_gap(share), None)
    if len(human) < 2 or not unlabelled:
        return too_few()
    from quality.ppi import ppi_mean

    found = ppi_mean(human, judge, unlabelled, power)
    return {
        "method": "ppi",
        "lambda": found.power,
        "mean": found.mean.value,
        "se": found.se,
        "ci": interval(found.mean.interval),
        "raw": (sum(judge) + sum(unlabelled)) / (len(judge) + len(unlabelled)),
    }


def _allocation(fields: Fields) -> ComputedAnswer:
    if fields.read("method", choice("rogan_gladen", "neyman")) == "neyman":
        return _neyman(fields)
    m, pilot = fields.read("m", count), fields.read("pilot", count)
    rates = {name: fields.read(name, share) for name in ("p", "q0", "q1")}
    if m < 2 * pilot:
        fields.refuse("m", f"{m} items cannot hold a pilot of {pilot} in each class")
    sizes = golden_sizes(m, **rates, pilot=pilot)
    return {"m0": sizes.m0, "m1": sizes.m1}


def _neyman(fields: Fields) -> ComputedAnswer:
    passing = fields.read("judged_pass_share", share)
    passes, fails = (_read_pilot(fields, name) for name in ("pilot_pass", "pilot_fail"))
    if fields.has("half_width"):
        n = labels_for(fields.read("half_width", between(SMALLEST_HALF_WIDTH, 1)), passing, passes, fails)
    else:
        n = fields.read("n", count)
        if n < 2 * STRATUM_MINIMUM:
            fields.refuse("n", f"must be at least {2 * STRATUM_MINIMUM}, {STRATUM_MINIMUM} for each stratum, not {n}")
    strata = neyman(n, passing, passes, fails)
    return {"n": n, "labelled_pass": strata.labelled_pass, "labelled_fail": strata.labelled_fail}


def _read_pilot(fields: Fields, name: str) -> Pilot:
    labelled = fields.read(name, count)
    return Pilot(labelled, fields.part(f"{name}_true", labelled, f"input.{name}"))


RATES: dict[str, Calculator] = {
    "interval": _interval,
    "post_stratified": _post_stratified,
    "rogan_gladen": _rogan_gladen,
    "ppi": _ppi,
    "allocation": _allocation,
}
