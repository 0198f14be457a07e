"""The pass rate or the mean score of a window without the judge's errors: the right method, or the reason why not."""

from __future__ import annotations

from collections.abc import Sequence

from api.schemas import trust as bodies
from api.services.trust.pairs import Labelled, Pair
from config.outputs import NumericOutput, OutputConfig
from quality import minimums
from quality.intervals import Estimate, mean, rate
from quality.post_stratified import Stratified, post_stratified
from quality.refusals import Refusal
from quality.rogan_gladen import Golden, rogan_gladen
from storage.clickhouse.verdicts import WindowCounts


def stratified_counts(pairs: Sequence[Pair], window: WindowCounts) -> Stratified:
    """Return the counts of the window's results, and of labels among its judged passes and fails."""
    passes = [pair for pair in pairs if pair.judge_passes]
    fails = [pair for pair in pairs if pair.judge_passes is False]
    return Stratified(
        judged=window.decided,
        judged_pass=window.passed,
        labelled_pass=len(passes),
        labelled_pass_true=sum(bool(pair.human_passes) for pair in passes),
        labelled_fail=len(fails),
        labelled_fail_true=sum(bool(pair.human_passes) for pair in fails),
    )


def corrected_rate(labelled: Labelled, window: WindowCounts) -> bodies.CorrectedRate:
    """Return the corrected pass rate of a window.

    Labels of the window itself are used where there are enough; only otherwise random labels from elsewhere, and those
    of golden sets.
    """
    ruled = [pair for pair in labelled.pairs if pair.human_passes is not None and pair.judge_passes is not None]
    own = [pair for pair in ruled if pair.in_window and pair.drawn != "unsampled"]
    random = [pair for pair in own if pair.drawn == "random"]
    # A stratified queue selects by verdict, which biases sensitivity and specificity, and these counts have no weights.
    elsewhere = [p for p in ruled if p.drawn == "unsampled" or (not p.in_window and p.drawn == "random")]
    raw = rate(window.passed, window.decided)
    human = rate(sum(bool(pair.human_passes) for pair in random), len(random))
    shown = bodies.CorrectedRate(
        method="post_stratified",
        value=None,
        low=None,
        high=None,
        refused=None,
        missing={},
        raw=bodies.Figure.of(raw),
        human_only=None if human is None else bodies.Figure.of(human),
        judged=window.decided,
        labels=len(own),
    )
    found = post_stratified(stratified_counts(own, window))
    if isinstance(found, Estimate):
        return _with(shown, found)
    if not elsewhere:
        if not ruled and labelled.not_judged:
            return shown.model_copy(update={"method": None, "refused": "other_version"})
        return _refused(shown, found)
    other = rogan_gladen(window.decided, window.passed, _golden(elsewhere), _golden(random) if random else None)
    shown = shown.model_copy(update={"method": "rogan_gladen", "labels": len(elsewhere)})
    if isinstance(other, Refusal):
        # Labels of the window itself are the better way, so these are named as missing.
        return _refused(shown, found if other.reason == "too_few" else other)
    return _with(shown, other.rate)


def corrected_mean(labelled: Labelled, scores: Sequence[float]) -> bodies.CorrectedRate:
    """Return the corrected mean score of a window from its random labels.

    Args:
        scores: of the judge, a random part of the window's results.
    """
    own = [pair for pair in labelled.pairs if pair.in_window and pair.drawn == "random"]
    both = [(p.human, p.judge) for p in own if isinstance(p.human, float) and isinstance(p.judge, float)]
    human = [each for each, _ in both]
    shown = bodies.CorrectedRate(
        method="ppi",
        value=None,
        low=None,
        high=None,
        refused=None,
        missing={},
        raw=bodies.Figure.of(mean(scores)) if len(scores) > 1 else bodies.Figure(),
        human_only=bodies.Figure.of(mean(human)) if len(human) >= minimums.PAIRS else None,
        judged=len(scores),
        labels=len(both),
    )
    if len(both) < minimums.SCORE_LABELS or not scores:
        return _refused(shown, Refusal("too_few", {"labelled": max(minimums.SCORE_LABELS - len(both), 1)}))
    from quality.ppi import ppi_mean

    return _with(shown, ppi_mean(human, [each for _, each in both], scores).mean)


def has_mean(output: OutputConfig) -> bool:
    """Return whether the corrected figure is a mean score: a score without a passing rule."""
    return isinstance(output, NumericOutput) and output.passing_rule is None


def _golden(pairs: Sequence[Pair]) -> Golden:
    passes = [pair for pair in pairs if pair.human_passes]
    fails = [pair for pair in pairs if not pair.human_passes]
    return Golden(
        human_pass=len(passes),
        human_pass_agreed=sum(bool(pair.judge_passes) for pair in passes),
        human_fail=len(fails),
        human_fail_agreed=sum(not pair.judge_passes for pair in fails),
    )


def _with(shown: bodies.CorrectedRate, found: Estimate) -> bodies.CorrectedRate:
    return shown.model_copy(update={"value": found.value, "low": found.interval.low, "high": found.interval.high})


def _refused(shown: bodies.CorrectedRate, refusal: Refusal) -> bodies.CorrectedRate:
    return shown.model_copy(update={"method": None, "refused": refusal.reason, "missing": dict(refusal.missing)})
