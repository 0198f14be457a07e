"""The kinds of request about a judge alone: does it repeat itself, and does it know how sure it is."""

from __future__ import annotations

from quality.calibration import reliability
from quality.compute.answers import Calculator, ComputedAnswer, too_few
from quality.compute.fields import (
    BadInput,
    Fields,
    category,
    list_of,
    mapping,
    number,
    or_gap,
    outcome,
    share,
    shown,
    uuid,
)
from quality.confidence import confidence
from quality.consistency import consistency
from quality.sampling import label_order


def _consistency(fields: Fields) -> ComputedAnswer:
    runs = fields.read("runs", list_of(list_of(or_gap(category))))
    found = consistency([[verdict for verdict in item if verdict is not None] for item in runs])
    if found is None:
        return too_few()
    return {
        "items": list(found.items),
        "flip_rate": found.flip_rate,
        "se": found.se,
        "unanimous": found.unanimous,
        "least_steady": list(found.least_steady),
    }


def _calibration(fields: Fields) -> ComputedAnswer:
    probabilities = fields.read("probability", list_of(share))
    outcomes = fields.read("outcome", list_of(outcome))
    if len(outcomes) != len(probabilities):
        fields.refuse("outcome", f"has {len(outcomes)} values, but input.probability has {len(probabilities)}")
    found = reliability(probabilities, outcomes)
    if found is None:
        return too_few()
    bins = [
        {"low": each.low, "high": each.high, "n": each.n, "confidence": each.confidence, "right": each.right}
        for each in found.bins
    ]
    return {"n": found.n, "brier": found.brier, "ece": found.ece, "bins": bins}


def _confidence(fields: Fields) -> ComputedAnswer:
    tokens = {token: _logprobs(value, token) for token, value in fields.read("logprobs", mapping).items()}
    if not tokens:
        fields.refuse("logprobs", "must name at least one class")
    found = confidence(tokens)
    return {"verdict": found.verdict, "confidence": found.confidence}


def _logprobs(value: object, token: str) -> list[float]:
    """Read the log probability of a token, or several of them."""
    place = f"input.logprobs.{shown(token)}"
    found = list_of(number, at_least=1)(value if isinstance(value, list) else [value], place)
    for each in found:
        if each > 0:
            raise BadInput(place, f"must be at most 0, because it is the logarithm of a probability, not {each:g}")
    return found


def _order(fields: Fields) -> ComputedAnswer:
    queue, results = fields.read("queue", uuid), fields.read("results", list_of(uuid))
    first: dict[str, int] = {}
    for at, result in enumerate(results):
        if first.setdefault(result, at) != at:
            fields.refuse(f"results[{at}]", f"repeats input.results[{first[result]}]")
    return {"order": label_order(queue, results)}


JUDGES: dict[str, Calculator] = {
    "consistency": _consistency,
    "calibration": _calibration,
    "confidence": _confidence,
    "order": _order,
}
