"""The kinds of request about agreement with people, and among people."""

from __future__ import annotations

from typing import Any

from quality import agreement
from quality.alpha import Metric, alpha
from quality.compute.answers import Calculator, ComputedAnswer, chance_corrected, estimate, pass_fail, too_few
from quality.compute.fields import (
    LARGEST_COUNT,
    Fields,
    between,
    category,
    choice,
    count,
    list_of,
    number,
    or_gap,
    shown,
    text,
)
from quality.compute.rates import read_stratified
from quality.numeric_agreement import Scores, scores
from quality.options import options
from quality.stratified import stratified_pass_fail
from quality.weighted import Design

MOST_CLASSES = 200


def _agreement(fields: Fields) -> ComputedAnswer:
    if fields.has("matrix"):
        return _class_agreement(fields)
    found = agreement.pass_fail(*(fields.read(name, count) for name in ("tp", "fn", "fp", "tn")))
    return too_few() if found is None else pass_fail(found)


def _class_agreement(fields: Fields) -> ComputedAnswer:
    found = agreement.classes(_read_table(fields))
    if found is None:
        return too_few()
    return {
        "n": found.n,
        "prevalence": found.chance_corrected.largest_class,
        **estimate("accuracy", found.accuracy),
        "macro_f1": found.macro_f1,
        "balanced_accuracy": found.balanced_accuracy,
        **chance_corrected(found.chance_corrected),
    }


def _read_table(fields: Fields) -> list[list[int]]:
    labels = fields.read("labels", list_of(text, at_least=2, at_most=MOST_CLASSES))
    for at, label in enumerate(labels):
        if label in labels[:at]:
            fields.refuse(f"labels[{at}]", f"repeats {shown(label)}")
    table = fields.read("matrix", list_of(list_of(count)))
    if len(table) != len(labels):
        fields.refuse("matrix", f"has {len(table)} rows, but input.labels has {len(labels)} classes")
    for at, row in enumerate(table):
        if len(row) != len(labels):
            fields.refuse(f"matrix[{at}]", f"has {len(row)} values, but input.labels has {len(labels)} classes")
    return table


def _stratified_agreement(fields: Fields) -> ComputedAnswer:
    found = stratified_pass_fail(read_stratified(fields))
    return too_few() if found is None else pass_fail(found)


def _numeric_agreement(fields: Fields) -> ComputedAnswer:
    human, judge = fields.pairs("human", "judge", number)
    weights = fields.read_or("weights", list_of(between(1 / LARGEST_COUNT, LARGEST_COUNT)), None)
    if weights is not None and len(weights) != len(human):
        fields.refuse("weights", f"has {len(weights)} values, but input.human has {len(human)}")
    if len(human) < 2:
        return too_few()
    found = scores(human, judge) if weights is None else _weighted_scores(human, judge, weights)
    return {
        "n": found.n,
        **estimate("mae", found.mae),
        **estimate("bias", found.bias),
        **estimate("spearman", found.spearman),
        "alpha": found.alpha,
    }


def _weighted_scores(human: list[float], judge: list[float], weights: list[float]) -> Scores:
    """Return the agreement on scores of which some were drawn more often; those of one weight are one stratum."""
    from quality.weighted_scores import weighted_scores

    return weighted_scores(human, judge, Design(weights, weights))


def _options_agreement(fields: Fields) -> ComputedAnswer:
    human, judge = fields.pairs("human", "judge", list_of(text))
    found = options([set(each) for each in human], [set(each) for each in judge])
    if found is None:
        return too_few()
    by_option = {name: pass_fail(each) for name, each in found.by_option.items()}
    return {"n": found.n, "jaccard": found.jaccard, "options": by_option}


def _alpha(fields: Fields) -> ComputedAnswer:
    metric: Metric = fields.read_or("metric", choice("nominal", "ordinal", "interval"), "nominal")
    labellers: list[list[Any]] = fields.read("ratings", list_of(list_of(or_gap(_rating(metric)))))
    for at, ratings in enumerate(labellers):
        if len(ratings) != len(labellers[0]):
            problem = f"has {len(ratings)} values, but input.ratings[0] has {len(labellers[0])}"
            fields.refuse(f"ratings[{at}]", problem)
    items = [[rating for rating in ratings if rating is not None] for ratings in zip(*labellers, strict=True)]
    if not any(len(ratings) > 1 for ratings in items):
        return too_few()
    return {"alpha": alpha(items, metric)}


def _rating(metric: Metric) -> Any:
    return category if metric == "nominal" else number


AGREEMENT: dict[str, Calculator] = {
    "agreement": _agreement,
    "stratified_agreement": _stratified_agreement,
    "numeric_agreement": _numeric_agreement,
    "options_agreement": _options_agreement,
    "alpha": _alpha,
}
