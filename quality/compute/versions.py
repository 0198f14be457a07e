"""The kinds of request about change: two versions, and a judge that may drift."""

from __future__ import annotations

from itertools import count as from_number

from quality.comparison import MARGIN, Flips, compare, holm
from quality.compute.answers import Calculator, ComputedAnswer, interval, too_few
from quality.compute.fields import Fields, above_zero, between, category, count, list_of, number, or_gap, share, text
from quality.drift import ALARM, HIGHEST_RATE, SUSPECT, null_rate, run_of

SMALLEST_MARGIN = 0.0001
MOST_PAIRED = 10_000
"""Items of a bootstrap, which costs 10 000 times as much as one look at each of them."""
_FLIPS = ("both_pass", "fail_to_pass", "pass_to_fail", "both_fail")


def _comparison(fields: Fields) -> ComputedAnswer:
    flips = Flips(*(fields.read(name, count) for name in _FLIPS))
    found = compare(flips, fields.read_or("margin", between(SMALLEST_MARGIN, 1), MARGIN))
    if found is None:
        return too_few()
    return {
        "n": found.n,
        "difference": found.difference.value,
        "ci": interval(found.difference.interval),
        "mcnemar_p": found.mcnemar_p,
        "verdict": found.outcome,
        "n_to_decide": found.n_to_decide,
    }


def _paired(fields: Fields) -> ComputedAnswer:
    a, b = fields.pairs("a", "b", number, at_most=MOST_PAIRED)
    groups = fields.read_or("groups", or_gap(list_of(category)), None)
    comparison_id = fields.read_or("id", text, "")
    if groups is not None and len(groups) != len(a):
        fields.refuse("groups", f"has {len(groups)} values, but input.a has {len(a)}")
    if len(a) < 2:
        return too_few()
    from quality.paired import generator, paired_difference

    found = paired_difference(a, b, generator(comparison_id), groups)
    return {
        "n": found.n,
        "difference": found.difference.value,
        "t_ci": interval(found.difference.interval),
        "bootstrap_ci": interval(found.bootstrap),
        **{
            name: {"mean": each.mean, "median": each.median, "p95": each.p95}
            for name, each in (("a", found.a), ("b", found.b))
        },
    }


def _holm(fields: Fields) -> ComputedAnswer:
    return {"adjusted": holm(fields.read("p", list_of(share)))}


def _drift(fields: Fields) -> ComputedAnswer:
    anchors = fields.read("anchors", count)
    null = fields.read("null_rate", above_zero)
    flips = fields.read("flips", list_of(count))
    if null >= HIGHEST_RATE:
        fields.refuse("null_rate", f"must be below {HIGHEST_RATE}, not {null}")
    for at, each in enumerate(flips):
        if each > anchors:
            fields.refuse(f"flips[{at}]", f"{each} is more than input.anchors ({anchors})")
    states = run_of(null, anchors, flips)
    statistic = [each.statistic for each in states]
    return {
        "statistic": statistic,
        "suspect_at": _first(statistic, SUSPECT),
        "alarm_at": _first(statistic, ALARM),
        "state": states[-1].state if states else "steady",
    }


def _first(statistic: list[float], limit: float) -> int | None:
    """Return the number of the first run at or above a limit, counted from 1."""
    return next((run for run, value in zip(from_number(1), statistic, strict=False) if value >= limit), None)


def _null_rate(fields: Fields) -> ComputedAnswer:
    observations = fields.read("observations", count)
    flips = fields.part("flips", observations, "input.observations")
    return {"null_rate": null_rate(flips, observations)} if observations else too_few()


VERSIONS: dict[str, Calculator] = {
    "comparison": _comparison,
    "paired": _paired,
    "holm": _holm,
    "drift": _drift,
    "null_rate": _null_rate,
}
