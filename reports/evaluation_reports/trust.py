"""How far the judge of each version can be believed, as a report says it.

The figures are those of `evaluations/{id}/trust/`. This room must not import the API, which computes them, so whoever
puts the role together hands in the function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.definitions import Evaluation
from reports.evaluation_reports.cells import ReportPeriod
from reports.evaluation_reports.numerals import interval, percent

TrustFigures = dict[str, Any]
"""JSON of one version: `labels`, `pairs`, `agreement`, `passes_found`, `fails_found`, `chance_corrected`, `warnings`,
and `corrected` (null where nothing was decided); or a `problem` alone. A figure has `value`, `low` and `high`, or
`too_few` with the number of labels that it lacks."""

TrustOf = Callable[[Evaluation, int, str, ReportPeriod], TrustFigures | None]
"""Returns the trust in a version of an evaluation (by its number and its fingerprint) over a period; None if nobody
labelled results for its question. Raises `FiguresUnavailable` if ClickHouse does not answer."""


def trust_sentences(version: Mapping[str, Any]) -> list[str]:
    """Return what the plain text says of the judge of a version."""
    trust = version.get("trust")
    if trust is None:
        return []
    if trust.get("problem"):
        return [f"How far the judge can be believed is not known: {trust['problem']}"]
    sentences = []
    agreement = trust["agreement"]
    if agreement["too_few"]:
        sentences.append(f"Whether people agree with the judge is not known: {_more(agreement['too_few'])}.")
    elif agreement["value"] is not None:
        sentences.append(
            f"People and the judge agree on {percent(agreement['value'])} of {trust['pairs']:,} labelled results "
            f"({interval(agreement)})."
        )
    corrected = trust["corrected"]
    if corrected is not None and corrected["value"] is not None:
        shown, bounds = shown_corrected(corrected)
        name = _named(corrected)
        sentences.append(f"Without the judge's errors the {name} is {shown} (95\u00a0% interval {bounds}).")
    elif corrected is not None:
        sentences.append(f"The {_named(corrected)} without the judge's errors is not known: {why_refused(corrected)}.")
    return sentences


def shown_corrected(corrected: Mapping[str, Any]) -> tuple[str, str]:
    """Return the corrected rate or mean, and its interval."""
    if corrected["kind"] == "rate":
        return percent(corrected["value"]), f"{percent(corrected['low'])} to {percent(corrected['high'])}"
    return f"{corrected['value']:.3g}", f"{corrected['low']:.3g} to {corrected['high']:.3g}"


@dataclass(frozen=True, slots=True)
class TrustTable:
    """The figures of trust as a table: a column for each version that has any, and a row for each figure.

    Attributes:
        versions: numbers of the versions.
        rows: name of the figure → its cells.
        problems: why versions have no figures, each once.
    """

    versions: list[int]
    rows: dict[str, list[str]]
    problems: list[str]


def trust_table(figures: Mapping[str, Any] | None) -> TrustTable | None:
    """Return the table of a report; None where nobody labelled results."""
    told = [each for each in figures["versions"] if each.get("trust")] if figures is not None else []
    known = [each for each in told if "problem" not in each["trust"]]
    problems = dict.fromkeys(each["trust"]["problem"] for each in told if "problem" in each["trust"])
    if not told:
        return None
    rows: dict[str, list[str]] = {
        "labelled results": [f"{each['trust']['pairs']:,}" for each in known],
        "people and the judge agree": [_cell(each["trust"]["agreement"]) for each in known],
        "passes that the judge finds": [_cell(each["trust"]["passes_found"]) for each in known],
        "fails that the judge finds": [_cell(each["trust"]["fails_found"]) for each in known],
        "agreement beyond chance": [_coefficient(each["trust"]["chance_corrected"]) for each in known],
    }
    corrected = [each["trust"]["corrected"] for each in known]
    means = any(each is not None and each["kind"] == "mean" for each in corrected)
    name = f"{'mean score' if means else 'pass rate'} without the judge's errors"
    rows[name] = [_corrected(each) for each in corrected]
    return TrustTable([each["version"] for each in known], rows if known else {}, list(problems))


def _cell(figure: Mapping[str, Any]) -> str:
    if figure["value"] is not None:
        return f"{percent(figure['value'])} ({percent(figure['low'])} – {percent(figure['high'])})"
    return _more(figure["too_few"]) if figure["too_few"] else "–"


def _coefficient(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "–"
    name = {"kappa": "Cohen's kappa", "ac1": "Gwet's AC1"}.get(found["name"], found["name"])
    return f"{found['value']:.2f}, {found['word']} ({name})"


def _corrected(corrected: Mapping[str, Any] | None) -> str:
    if corrected is None:
        return "–"
    if corrected["value"] is None:
        return f"not known: {why_refused(corrected)}"
    shown, bounds = shown_corrected(corrected)
    return f"{shown} ({bounds.replace(' to ', ' – ')})"


_REFUSALS = {
    "judge_no_better_than_chance": "the judge does not tell passes from fails better than chance does",
    "inconsistent": "the labels and the judge contradict each other",
    "not_transportable": "labels from elsewhere do not fit these results",
    "other_version": "the labels are of another version's results",
}


def why_refused(corrected: Mapping[str, Any]) -> str:
    """Return the reason for which a report shows no corrected figure."""
    missing = sum(corrected["missing"].values())
    if corrected["refused"] == "too_few" or corrected["refused"] not in _REFUSALS:
        return _more(missing)
    return _REFUSALS[corrected["refused"]]


def _named(corrected: Mapping[str, Any]) -> str:
    return "pass rate" if corrected["kind"] == "rate" else "mean score"


def _more(count: int) -> str:
    if not count:
        return "more labels are needed"
    return "one more label is needed" if count == 1 else f"{count:,} more labels are needed"
