"""Bodies of `evaluations/{id}/trust/`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from api.schemas.anchors import DriftShown
from api.schemas.labellers import Between
from api.schemas.parts import ResponseBody
from evaluators.injection.canaries import Place
from quality.agreement import Word
from quality.intervals import Estimate
from quality.refusals import Reason

TrustWarning = Literal["criteria_unclear", "canaries_missing", "spoofed"]
EnablingWarning = Literal["labels_missing", "agreement_low"] | TrustWarning


class Figure(ResponseBody):
    """A figure with its interval (95 %), or `too_few` with the number of labels that it lacks."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    too_few: int | None = None

    @classmethod
    def of(cls, found: Estimate | None) -> Figure:
        """Return an estimate as it is shown; nothing for None."""
        if found is None:
            return cls()
        return cls(value=found.value, low=found.interval.low, high=found.interval.high)


class PassFailAgreement(ResponseBody):
    """Agreement on pass and fail, over items that both sides find applicable."""

    true_pass: int
    false_fail: int
    false_pass: int
    true_fail: int
    prevalence: float | None
    accuracy: Figure
    sensitivity: Figure
    specificity: Figure
    precision_pass: Figure
    precision_fail: Figure
    kappa: Figure
    ac1: Figure
    headline: Literal["kappa", "ac1"] | None
    word: Word | None


class ScoreAgreement(ResponseBody):
    """Agreement on scores. `bias` is judge minus human."""

    mae: Figure
    bias: Figure
    spearman: Figure
    alpha: float | None


class ClassAgreement(ResponseBody):
    """Agreement on one of several classes: rows of `confusion` are people's, columns the judge's."""

    labels: list[str]
    confusion: list[list[int]]
    accuracy: Figure
    macro_f1: float | None
    balanced_accuracy: float | None
    kappa: Figure
    ac1: Figure
    headline: Literal["kappa", "ac1"] | None
    word: Word | None


class OptionAgreement(ResponseBody):
    """Agreement on several categories at once."""

    jaccard: float | None
    kappa_by_option: dict[str, Figure]


class Applicability(ResponseBody):
    """Whether both sides find an item applicable."""

    both: int
    only_human: int
    only_judge: int
    neither: int


class SliceShown(ResponseBody):
    """One slice. `p` is of a test against all other pairs, adjusted for the number of slices (Holm)."""

    name: str
    pairs: int
    accuracy: Figure
    p: float | None


class LengthThird(ResponseBody):
    """Human fails by the length of the output, and the share of them that the judge passes."""

    chars_from: int
    chars_to: int
    human_fails: int
    judged_pass: Figure


class Disagreement(ResponseBody):
    """One result on which people and the judge disagree."""

    result: str
    target_event_id: str
    human: dict[str, Any]
    judge: dict[str, Any]


class Agreement(ResponseBody):
    """How far the version agrees with people.

    `sample` names the pairs that the figures are over: `all` without weights, or `stratified`, weighted to the window
    that they were drawn from.
    """

    pairs: int
    random: int
    stratified: int
    unsampled: int
    unanswered: int
    not_judged: int
    unresolved: int
    sample: Literal["all", "stratified"]
    applicability: Applicability
    pass_fail: PassFailAgreement | None
    scores: ScoreAgreement | None
    classes: ClassAgreement | None
    options: OptionAgreement | None
    slices: list[SliceShown]
    length_bias: list[LengthThird]
    disagreements: list[Disagreement]

    @property
    def weighting(self) -> str:
        """How the figures are weighted, in words for people; empty if they are not."""
        return "weighted to the window that the pairs were drawn from" if self.sample == "stratified" else ""


class CorrectedRate(ResponseBody):
    """The pass rate, or the mean score, of the window with the judge's errors removed.

    A refusal has a `refused` reason, the numbers of labels that are missing, and no value.
    """

    method: Literal["post_stratified", "rogan_gladen", "ppi"] | None
    value: float | None
    low: float | None
    high: float | None
    refused: Reason | None
    missing: dict[str, int]
    raw: Figure
    human_only: Figure | None
    judged: int
    labels: int


class BetweenLabellersShown(ResponseBody):
    """How far people agree with each other: a judge cannot be measured better."""

    items: int
    alpha: float | None
    labellers: list[Between]


class CanarySuccess(ResponseBody):
    """An attack that turned a fail into a pass."""

    attack: str
    place: Place
    item: str
    """The golden item that it was planted in."""


class CanariesShown(ResponseBody):
    """How attacks on the judge went. `rate` is the share that succeeded.

    `not_counted`: the clean item was not judged a fail, or a judgement is missing.
    """

    attacks: int
    succeeded: int
    not_counted: int
    spoofed: bool
    rate: Figure
    by_family: dict[str, int]
    by_place: dict[str, int]
    successes: list[CanarySuccess]


class CanariesOfVersion(CanariesShown):
    """The newest run of a version."""

    run: UUID
    version: int
    finished_at: datetime | None


class CascadeThreshold(ResponseBody):
    """A threshold. `escalated` is the share of runs that go on, `usd` the cost of a run."""

    threshold: float
    escalated: float
    usd: float | None
    with_last: Figure
    """Agreement with the last step."""
    with_labels: Figure
    """Agreement with people."""


class CalibrationShown(ResponseBody):
    """How well the confidence of the first step fits people's labels, over the labelled runs. 0 is perfect."""

    state: Literal["uncalibrated", "logistic", "isotonic"]
    n: int
    brier: float | None
    ece: float | None
    curve: list[tuple[float, float]]
    """Confidence and how often such a verdict is right; empty while it is uncalibrated."""


class Cascade(ResponseBody):
    """Thresholds for a cascade, from its own runs. `proposed` is the cheapest that reaches the target, or null."""

    evaluation: UUID
    version: int
    escalate_below: float | None
    target: float
    runs: int
    labelled: int
    decided_by: Literal["labels", "last_step"]
    proposed: float | None
    thresholds: list[CascadeThreshold]
    calibration: CalibrationShown


class ConsistencyShown(ResponseBody):
    """How often the version contradicts itself."""

    items: int
    flip_rate: float | None
    se: float | None
    unanimous: float | None
    least_steady: list[str]


class LatestConsistency(ConsistencyShown):
    """The newest run that judged the same items several times."""

    run: UUID
    version: int
    repeats: int
    finished_at: datetime


class Trust(ResponseBody):
    """How far one version of the judge can be believed."""

    evaluation: UUID
    version: int
    fingerprint: str
    question: int
    window_start: datetime
    window_end: datetime
    computed_at: datetime
    labels: int
    between_labellers: BetweenLabellersShown
    warnings: list[TrustWarning]
    agreement: Agreement
    corrected: CorrectedRate
    canaries: CanariesOfVersion | None
    drift: DriftShown | None
    """Who moved; null if the version has no anchors."""
    consistency: LatestConsistency | None
    """How often the version contradicts itself; null if nobody has measured it."""
