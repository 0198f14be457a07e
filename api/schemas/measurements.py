"""Bodies of `comparisons` and `trust/runs`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.parts import Instant, RequestBody, ResponseBody, User, VersionNumber
from api.schemas.trust import Agreement, CanariesShown, ConsistencyShown, Figure
from quality.comparison import MARGIN, Outcome
from storage.sql.measurements import MeasurementKind, MeasurementState

Side = Literal["applicable", "not_applicable", "skipped", "missing"]
Source = Literal["window", "golden_set", "dataset"]


class _Items(RequestBody):
    golden_set: UUID | None = None
    """The golden set whose items are judged."""
    golden_set_version: VersionNumber | None = None
    """Its frozen version."""
    dataset: UUID | None = None
    """The dataset whose items are judged."""
    window_start: Instant | None = None
    """Start of the window whose generations are judged; included. Seven days before its end if left out."""
    window_end: Instant | None = None
    """End of the window; excluded. Now if left out."""
    dry_run: bool = False
    """Return the calls, tokens and USD, and start nothing."""


class ComparisonCreate(_Items):
    """Two versions that judge the same generations."""

    version_a: VersionNumber = Field()
    """The version to compare with."""
    version_b: VersionNumber = Field()
    """The version that may be better."""
    source: Source = "window"
    """Where the generations come from."""
    size: Annotated[int, Field(ge=1, le=2_000)] = 200
    """How many generations, if there are as many."""
    margin: Annotated[float, Field(gt=0, lt=1)] = MARGIN
    """The difference of the pass rate below which the versions count as equivalent; 0.02 is two points."""


class MeasurementRunCreate(_Items):
    """A measurement of one version."""

    kind: Literal["measure", "consistency", "canaries", "anchors"] = Field()
    """`measure` compares with a golden set, or with what the items of a dataset expect; `consistency` judges the same
    items several times; `canaries` plants attacks in the items of a golden set that must fail; `anchors` judges the
    anchors of the evaluation now."""
    version: VersionNumber | None = None
    """The version that is measured; the present one if left out."""
    size: Annotated[int, Field(ge=1, le=50)] = 50
    """Items of a consistency run."""
    repeats: Annotated[int, Field(ge=2, le=20)] = 5
    """How often a consistency run judges each item."""


class Cost(ResponseBody):
    """The work of a measurement that was not started. `usd` is null if the model has no price."""

    dry_run: Literal[True]
    items: int
    reused: int
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None


class MeasurementStanding(ResponseBody):
    """A measurement and how far it is. Counts are of judgements, except for `items`."""

    id: UUID
    evaluation: UUID
    kind: MeasurementKind
    state: MeasurementState
    error: str | None
    versions: list[int]
    items: int
    total: int
    reused: int
    missing: int
    done: int
    skipped: int
    cost_usd: float
    dataset: UUID | None
    """The dataset that it is over."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: User | None


class PairedShown(ResponseBody):
    """The mean of second minus first, generation by generation, with medians and 95th percentiles."""

    difference: Figure
    median_a: float
    median_b: float
    p95_a: float
    p95_b: float


class WithLabels(ResponseBody):
    """Which version is right, over the generations that people have labelled. `p` is of McNemar's exact test."""

    labelled: int
    only_a_right: int
    only_b_right: int
    p: float | None


class WithoutVerdict(ResponseBody):
    """Generations on which at least one of two versions gave N/A, a skip, or nothing yet (`missing`)."""

    a: Side
    b: Side
    n: int


class ComparisonOutcome(ResponseBody):
    """The outcome of the results so far. `undecided` names the number of generations that would decide."""

    n: int
    both_pass: int
    fail_to_pass: int
    pass_to_fail: int
    both_fail: int
    difference: Figure
    p: float | None
    outcome: Outcome | None
    n_to_decide: int | None
    not_compared: int
    """Generations on which a version gave N/A, a skip, or nothing yet."""
    without_verdict: list[WithoutVerdict]
    """These generations by the answers of both versions, the most frequent answers first."""
    score: PairedShown | None
    cost_usd: PairedShown | None
    latency_s: PairedShown | None
    labels: WithLabels | None


class Comparison(MeasurementStanding):
    """A comparison of two versions."""

    version_a: int
    version_b: int
    margin: float
    outcome: ComparisonOutcome


class ComparisonShown(MeasurementStanding):
    """A comparison in a list."""

    version_a: int
    version_b: int
    margin: float


class Flip(ResponseBody):
    """A generation on which two versions disagree."""

    item: str
    target_event_id: str
    a: dict[str, Any]
    b: dict[str, Any]
    reasoning_a: str
    reasoning_b: str


class Measurement(MeasurementStanding):
    """A measurement of one version with its figures."""

    agreement: Agreement | None
    consistency: ConsistencyShown | None
    canaries: CanariesShown | None
