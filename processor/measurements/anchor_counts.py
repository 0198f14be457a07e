"""Counts an ended run of drift anchors: its verdicts, its flips, and the state of the test after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from config.outputs import NumericOutput, OutputConfig
from quality.anchors import BASELINE_RUNS, FEWEST, baseline, flips_of, tolerance
from quality.consensus import NoVote, Verdict, label_of, vote_of
from quality.drift import UNMOVED, Detector
from storage.clickhouse.measurements import MeasuredVerdict
from storage.clickhouse.query import PassRule
from storage.drift import detector_of
from storage.sql.anchors import AnchorBaseline, AnchorRun, with_alarm
from storage.sql.golden_sets import GoldenItem
from storage.sql.measurements import MeasurementRun

ANSWERED_SHARE = 0.8
"""A run of which a larger part was skipped is not counted: a provider in trouble is not a flip."""

Verdicts = Mapping[str, Verdict]


@dataclass(frozen=True, slots=True)
class AnchorCounts:
    """An ended run, and the baseline as it is after it."""

    run: AnchorRun
    baseline: AnchorBaseline


def verdicts_of(results: Sequence[MeasuredVerdict]) -> dict[str, Verdict]:
    """Return the verdicts of a run by item. A skip is not a verdict."""
    return {each.item: each.verdict for each in results if not each.skipped}


def not_counted(run: MeasurementRun, base: AnchorBaseline) -> str:
    """Return why a run is not counted, or nothing."""
    if run.params.get("baseline") != base.number or base.state == "closed":
        return "it was made for an earlier baseline"
    if run.state != "completed":
        return f"the run is {run.state}: {run.error}" if run.error else f"the run is {run.state}"
    answered = run.done - run.skipped
    if answered < max(FEWEST, ANSWERED_SHARE * run.items):
        return f"only {answered} of {run.items} anchors were judged; the others were skipped"
    return ""


def count_run(
    run: MeasurementRun, base: AnchorBaseline, earlier: Sequence[Verdicts], found: Verdicts,
    golden: Sequence[GoldenItem], output: OutputConfig,
) -> AnchorCounts:  # fmt: skip
    """Return a run that is to be counted, and the baseline after it.

    Args:
        earlier: the verdicts of the runs that the baseline has counted so far, while it is collecting.
        found: the verdicts of this run.

    Raises:
        ExtraMissing: scipy is not installed, which the null rate needs.
    """
    ended = run.finished_at or run.updated_at
    agreed, labelled = _agreement(found, golden)
    entry = AnchorRun(
        run_id=run.id, evaluation_id=run.evaluation_id, baseline=base.number, begun_at=run.created_at, ended_at=ended,
        counted=True, anchors=len(found), agreed=agreed, labelled=labelled,
    )  # fmt: skip
    detector = detector_of(base)
    if detector is None:
        return AnchorCounts(entry, _collected(base, [*earlier, found], golden, output))
    allowed = base.tolerance or 0.0
    reference = _read(base.reference or {})
    rule = PassRule.of(output)
    passes = {each: None if each is None else rule.passes(each) for each in (*reference.values(), *found.values())}
    flips = flips_of(reference, found, allowed, passes)
    state = detector.after(flips.flips, flips.anchors)
    entry = replace(
        entry, anchors=flips.anchors, flips=flips.flips, to_pass=flips.to_pass, to_fail=flips.to_fail,
        statistic=state.statistic,
    )  # fmt: skip
    after = replace(base, evidence=list(state.evidence), runs=state.runs)
    if state.statistic < UNMOVED:
        after = replace(after, good_at=run.created_at)
    return AnchorCounts(entry, with_alarm(after, ended) if state.state == "alarm" else after)


def _collected(
    base: AnchorBaseline, runs: Sequence[Verdicts], golden: Sequence[GoldenItem], output: OutputConfig
) -> AnchorBaseline:
    if len(runs) < BASELINE_RUNS:
        return base
    scores = [each for run in runs for each in run.values() if isinstance(each, float)]
    allowed = 0.0
    if isinstance(output, NumericOutput):
        allowed = tolerance(output.step, output.min, output.max, scores)
    found = baseline(runs, allowed)
    agreed, labelled = _agreement(found.reference, golden)
    return replace(
        base,
        state="watching",
        reference={item: label_of(verdict) for item, verdict in found.reference.items()},
        null_rate=found.null_rate,
        tolerance=allowed,
        evidence=list(Detector(found.null_rate).evidence),
        runs=0,
        agreed_before=agreed,
        labelled_before=labelled,
    )


def _read(reference: Mapping[str, Mapping[str, object]]) -> dict[str, Verdict]:
    found = {item: vote_of(label) for item, label in reference.items()}
    return {item: verdict for item, verdict in found.items() if not isinstance(verdict, NoVote)}


def _agreement(found: Verdicts, golden: Sequence[GoldenItem]) -> tuple[int, int]:
    """Return how many verdicts are as people expect, and how many are labelled."""
    expected = {each.key: vote_of(each.expected) for each in golden}
    pairs = [(expected[item], verdict) for item, verdict in found.items() if item in expected]
    return sum(human == verdict for human, verdict in pairs), len(pairs)
