"""Figures of agreement of one version with people, each from its minimum number of labels on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from api.schemas import trust as bodies
from api.services.trust.correction import stratified_counts
from api.services.trust.pairs import Labelled, Pair
from config.outputs import CategoricalOutput, NumericOutput, OutputConfig
from quality import agreement, minimums
from quality.agreement import ChanceCorrected
from quality.consensus import Verdict, label_of
from quality.intervals import Estimate, Interval, rate
from quality.numeric_agreement import Scores, scores
from quality.options import options
from quality.post_stratified import STRATUM_MINIMUM
from quality.slices import slices
from quality.stratified import stratified_pass_fail
from quality.weighted import Design, cells, rate_within
from quality.weighted_classes import weighted_classes, weighted_options, weighted_pass_fail
from storage.clickhouse.verdicts import SLICES, Text, WindowCounts

MOST_DISAGREEMENTS = 100
OUTPUT_LENGTH = "output_length"
"""The slice that shows the length bias instead of slices."""
_LENGTH_FAILS = 30


@dataclass(frozen=True, slots=True)
class _Basis:
    """The pairs that figures other than the table of passes and fails are over.

    Attributes:
        weighted: whether each pair counts 1/probability of being drawn; its pairs have a chance then.
        lacking: labels that strata lack; a weighted figure is refused until they are there.
    """

    pairs: Sequence[Pair]
    weighted: bool
    lacking: int = 0

    def design(self, pairs: Sequence[Pair], *, by_verdict: bool = False) -> Design | None:
        """Return how some of the pairs were drawn, or None where they are not weighted.

        Args:
            by_verdict: judged passes and judged fails are strata of their own.
        """
        if not self.weighted:
            return None
        chances = [pair.chance for pair in pairs if pair.chance is not None]
        return Design(
            weights=[1 / chance.probability for chance in chances],
            strata=[
                (chance.stratum, pair.judge_passes) if by_verdict else chance.stratum
                for chance, pair in zip(chances, pairs, strict=True)
            ],
        )


def agreement_of(
    labelled: Labelled, output: OutputConfig, window: WindowCounts | None, texts: Mapping[str, Text],
    sliced_by: str | None,
) -> bodies.Agreement:  # fmt: skip
    """Return all figures of agreement.

    Args:
        window: the counts of the results that the pairs are a sample of; None if the version judged only the pairs.
        texts: of the generations that the archive has, for the length bias and slices by a property.
        sliced_by: by what the pairs are sliced; None for no slices.
    """
    pairs = labelled.pairs
    drawn = Counter(pair.drawn for pair in pairs)
    both = [pair for pair in pairs if pair.human is not None and pair.judge is not None]
    # Random labels are random among judged passes and among judged fails too, so they are weighted with the stratified.
    weighted = drawn["stratified"] > 0 and drawn["stratified"] + drawn["random"] > drawn["unsampled"]
    basis = _basis(both, labelled, weighted=weighted)
    ruled = [pair for pair in both if pair.human_passes is not None and pair.judge_passes is not None]
    return bodies.Agreement(
        pairs=len(pairs),
        random=drawn["random"],
        stratified=drawn["stratified"],
        unsampled=drawn["unsampled"],
        unanswered=labelled.unanswered,
        not_judged=labelled.not_judged,
        unresolved=labelled.unresolved,
        sample="stratified" if weighted else "all",
        applicability=_applicability(pairs),
        pass_fail=_pass_fail(ruled, basis, window) if ruled or _has_rule(output) else None,
        scores=_scores(basis) if isinstance(output, NumericOutput) else None,
        classes=_classes(basis, output) if _is_single(output) else None,
        options=_options(basis) if isinstance(output, CategoricalOutput) and not _is_single(output) else None,
        slices=[] if sliced_by in (None, OUTPUT_LENGTH) else _slices(basis, texts, by_property=sliced_by not in SLICES),
        length_bias=_length_bias(basis, texts),
        disagreements=_disagreements(pairs),
    )


def _basis(both: Sequence[Pair], labelled: Labelled, *, weighted: bool) -> _Basis:
    if weighted:
        # A label from outside of the queues has no known chance, so that nothing can be weighted with it.
        return _Basis([pair for pair in both if pair.chance is not None], True, labelled.missing_in_strata)
    # A stratified queue draws some verdicts more often than others.
    return _Basis([pair for pair in both if pair.drawn != "stratified"], weighted=False)


def figure(found: Estimate | None, have: int, need: int, lacking: int = 0) -> bodies.Figure:
    """Return a figure, or `too_few` with the number of labels that it lacks.

    Args:
        lacking: labels that strata lack, whatever there is in all.
    """
    if have < need or found is None or lacking:
        return bodies.Figure(too_few=max(need - have, lacking, 1))
    return _shown(found.value, found.interval)


def _shown(value: float, interval: Interval) -> bodies.Figure:
    return bodies.Figure(value=value, low=interval.low, high=interval.high)


def _has_rule(output: OutputConfig) -> bool:
    return getattr(output, "passing_rule", True) is not None


def _is_single(output: OutputConfig) -> bool:
    return isinstance(output, CategoricalOutput) and output.selection_mode == "single"


def _applicability(pairs: Sequence[Pair]) -> bodies.Applicability:
    counts = Counter((pair.human is not None, pair.judge is not None) for pair in pairs)
    return bodies.Applicability(
        both=counts[True, True], only_human=counts[True, False], only_judge=counts[False, True],
        neither=counts[False, False],
    )  # fmt: skip


def _pass_fail(pairs: Sequence[Pair], basis: _Basis, window: WindowCounts | None) -> bodies.PassFailAgreement:
    if basis.weighted and window is None:
        pairs = [pair for pair in pairs if pair.chance is not None]
    counts = Counter((pair.human_passes, pair.judge_passes) for pair in pairs)
    tp, fn, fp, tn = counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    n, passes, fails, lacking = len(pairs), tp + fn, fp + tn, 0
    found = agreement.pass_fail(tp, fn, fp, tn)
    if basis.weighted and window is not None:
        found = stratified_pass_fail(stratified_counts(pairs, window))
        lacking = max(0, min(STRATUM_MINIMUM, window.passed) - tp - fp)
        lacking += max(0, min(STRATUM_MINIMUM, window.failed) - fn - tn)
    elif (design := basis.design(pairs)) is not None:
        # Verdicts of another run made the strata, so that a stratum holds passes and fails of this one.
        human, judge = [bool(pair.human_passes) for pair in pairs], [bool(pair.judge_passes) for pair in pairs]
        found = weighted_pass_fail(human, judge, design)
    return bodies.PassFailAgreement(
        true_pass=tp,
        false_fail=fn,
        false_pass=fp,
        true_fail=tn,
        prevalence=None if found is None or n < minimums.PAIRS or lacking else found.prevalence,
        accuracy=figure(None if found is None else found.accuracy, n, minimums.PAIRS, lacking),
        sensitivity=figure(None if found is None else found.sensitivity, passes, minimums.HUMAN_PASSES, lacking),
        specificity=figure(None if found is None else found.specificity, fails, minimums.HUMAN_FAILS, lacking),
        precision_pass=figure(None if found is None else found.precision_pass, min(n, 2 * (tp + fp)), minimums.PAIRS),
        precision_fail=figure(None if found is None else found.precision_fail, min(n, 2 * (fn + tn)), minimums.PAIRS),
        **_chance(found.chance_corrected if found else None, n, lacking),
    )


def _chance(corrected: ChanceCorrected | None, n: int, lacking: int = 0) -> dict[str, Any]:
    if corrected is None or n < minimums.COEFFICIENT_PAIRS or lacking:
        few = bodies.Figure(too_few=max(minimums.COEFFICIENT_PAIRS - n, lacking, 1))
        return {"kappa": few, "ac1": few, "headline": None, "word": None}
    kappa = corrected.kappa
    return {
        "kappa": bodies.Figure() if kappa is None else _shown(kappa.value, kappa.interval),
        "ac1": _shown(corrected.ac1.value, corrected.ac1.interval),
        "headline": corrected.headline,
        "word": corrected.word,
    }


def _scores(basis: _Basis) -> bodies.ScoreAgreement:
    pairs = [pair for pair in basis.pairs if isinstance(pair.human, float) and isinstance(pair.judge, float)]
    human = [pair.human for pair in pairs if isinstance(pair.human, float)]
    judge = [pair.judge for pair in pairs if isinstance(pair.judge, float)]
    design = basis.design(pairs)
    # An error that few heavy labels decide is as uncertain as one of few labels.
    n = len(pairs) if design is None else int(design.effective + 1e-9)
    found = None
    if n >= minimums.PAIRS and not basis.lacking:
        found = scores(human, judge) if design is None else _weighted_scores(human, judge, design)
    return bodies.ScoreAgreement(
        mae=figure(None if found is None else found.mae, n, minimums.ERROR_PAIRS, basis.lacking),
        bias=figure(None if found is None else found.bias, n, minimums.PAIRS, basis.lacking),
        spearman=figure(None if found is None else found.spearman, n, minimums.PAIRS, basis.lacking),
        alpha=None if found is None else found.alpha,
    )


def _weighted_scores(human: Sequence[float], judge: Sequence[float], design: Design) -> Scores:
    from quality.weighted_scores import weighted_scores

    return weighted_scores(human, judge, design)


def _classes(basis: _Basis, output: OutputConfig) -> bodies.ClassAgreement:
    keys = [option.key for option in output.options] if isinstance(output, CategoricalOutput) else []
    place = {key: at for at, key in enumerate(keys)}
    known = [pair for pair in basis.pairs if _only(pair.human) in place and _only(pair.judge) in place]
    human, judge = [place[_only(pair.human)] for pair in known], [place[_only(pair.judge)] for pair in known]
    table = [[0] * len(keys) for _ in keys]
    for row, column in zip(human, judge, strict=True):
        table[row][column] += 1
    n, found = len(known), None
    if n and len(keys) > 1:
        design = basis.design(known)
        found = agreement.classes(table) if design is None else weighted_classes(human, judge, len(keys), design)
    enough = found is not None and n >= minimums.PAIRS and not basis.lacking
    return bodies.ClassAgreement(
        labels=keys,
        confusion=table,
        accuracy=figure(None if found is None else found.accuracy, n, minimums.PAIRS, basis.lacking),
        macro_f1=found.macro_f1 if found is not None and enough else None,
        balanced_accuracy=found.balanced_accuracy if found is not None and enough else None,
        **_chance(found.chance_corrected if found else None, n, basis.lacking),
    )


def _only(verdict: Verdict) -> str:
    return next(iter(verdict), "") if isinstance(verdict, frozenset) else ""


def _options(basis: _Basis) -> bodies.OptionAgreement:
    pairs = [pair for pair in basis.pairs if isinstance(pair.human, frozenset) and isinstance(pair.judge, frozenset)]
    if len(pairs) < minimums.PAIRS or basis.lacking:
        return bodies.OptionAgreement(jaccard=None, kappa_by_option={})
    human = [pair.human for pair in pairs if isinstance(pair.human, frozenset)]
    judge = [pair.judge for pair in pairs if isinstance(pair.judge, frozenset)]
    design = basis.design(pairs)
    found = options(human, judge) if design is None else weighted_options(human, judge, design)
    if found is None:
        return bodies.OptionAgreement(jaccard=None, kappa_by_option={})
    kappas = {name: _chance(each.chance_corrected, len(pairs))["kappa"] for name, each in found.by_option.items()}
    return bodies.OptionAgreement(jaccard=found.jaccard, kappa_by_option=kappas)


def _slices(basis: _Basis, texts: Mapping[str, Text], *, by_property: bool) -> list[bodies.SliceShown]:
    if basis.lacking:
        return []
    names, agreed = [], []
    for pair in basis.pairs:
        text = texts.get(pair.target_event_id)
        names.append((text.prop if text else "") if by_property else pair.result.sliced_by)
        agreed.append(_agrees(pair))
    return [
        bodies.SliceShown(
            name=each.name[:200], pairs=each.n, accuracy=_shown(each.accuracy.value, each.accuracy.interval), p=each.p
        )
        for each in slices(names, agreed, basis.design(basis.pairs))
    ]


def _agrees(pair: Pair) -> bool:
    if pair.human_passes is not None and pair.judge_passes is not None:
        return pair.human_passes == pair.judge_passes
    return pair.human == pair.judge


def _length_bias(basis: _Basis, texts: Mapping[str, Text]) -> list[bodies.LengthThird]:
    ruled = [pair for pair in basis.pairs if pair.human_passes is not None and pair.judge_passes is not None]
    fails = sorted(
        (texts[pair.target_event_id].output_chars, at)
        for at, pair in enumerate(ruled)
        if not pair.human_passes and pair.target_event_id in texts
    )
    if len(fails) < _LENGTH_FAILS or basis.lacking:
        return []
    bounds = [0, len(fails) // 3, 2 * len(fails) // 3, len(fails)]
    design = basis.design(ruled, by_verdict=True)
    found = []
    for start, end in pairwise(bounds):
        part = fails[start:end]
        judged = _judged_pass(ruled, [at for _, at in part], design)
        found.append(
            bodies.LengthThird(
                chars_from=part[0][0], chars_to=part[-1][0], human_fails=len(part), judged_pass=figure(judged, 1, 1)
            )
        )
    return found


def _judged_pass(pairs: Sequence[Pair], places: Sequence[int], design: Design | None) -> Estimate | None:
    """Return the judged-pass rate of the pairs at `places`."""
    if design is None:
        return rate(sum(bool(pairs[at].judge_passes) for at in places), len(places))
    of_part = set(places)
    passed = [bool(pair.judge_passes) for pair in pairs]
    return rate_within(cells(design, passed, [at in of_part for at in range(len(pairs))], certain=True))


def _disagreements(pairs: Sequence[Pair]) -> list[bodies.Disagreement]:
    found = (pair for pair in pairs if not _agrees(pair))
    newest = sorted(found, key=lambda pair: pair.result.timestamp, reverse=True)[:MOST_DISAGREEMENTS]
    return [
        bodies.Disagreement(
            result=pair.result.result_id,
            target_event_id=pair.target_event_id,
            human=label_of(pair.human),
            judge=label_of(pair.judge),
        )
        for pair in newest
    ]
