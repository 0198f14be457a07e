"""Bodies of the actions on evaluations: tests on samples, estimates, explanations, results and backfills."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, SkipValidation, StringConstraints

from api.schemas.evaluations import ModelConfigurationBody
from api.schemas.parts import Instant, QueryText, RequestBody, ResponseBody, User
from api.schemas.tolerance import definition_parts
from api.schemas.trust import CorrectedRate
from conditions import ConditionSet
from conditions.interpreter import Truth
from config.definitions import MAX_CONFIG_CHARS
from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput
from evaluators.llm_judge.output import OutputType
from evaluators.verdict import VerdictName
from storage.sql.backfills import BackfillState

_Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CONFIG_CHARS)]


class _Samples(RequestBody):
    @classmethod
    def parts(cls, value: dict[str, Any]) -> dict[str, Any]:
        """See `RequestBody.parts`."""
        return definition_parts(value)

    sample_count: Annotated[int, Field(ge=1, le=10)] = 5
    """How many events to test on."""
    conditions: SkipValidation[list[ConditionSet]] = Field(default_factory=list)
    """Conditions that the sampled events meet; rollouts are ignored. None: any event."""


class HogTest(_Samples):
    """Hog code to try out."""

    source: _Text
    """Hog source; returns true (pass), false (fail) or null for N/A."""
    allows_na: bool = False
    """Whether null means N/A."""


class JudgeTest(_Samples):
    """A prompt and a model to try out."""

    prompt: _Text
    """Criteria of the judge."""
    model_configuration: SkipValidation[ModelConfigurationBody | None] = None
    """Model; null: the team's active key and its provider's default model."""
    output_type: SkipValidation[OutputType] = "boolean"
    """Kind of verdict."""
    output_config: SkipValidation[BooleanOutput | NumericOutput | CategoricalOutput | None] = None
    """Options of the output type."""


class SampleResult(ResponseBody):
    """The outcome of one sampled event."""

    event_uuid: str
    trace_id: str | None
    input_preview: str
    output_preview: str
    result: bool | None
    reasoning: str | None
    error: str | None


class JudgeSampleResult(SampleResult):
    """The outcome of one sampled event that a model judged."""

    score: float | None = None
    categories: list[str] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


class HogTestResult(ResponseBody):
    """The outcomes of all sampled events."""

    results: list[SampleResult]
    message: str | None = None


class JudgeTestResult(ResponseBody):
    """The outcomes of all sampled events."""

    results: list[JudgeSampleResult]
    message: str | None = None


class EstimateRequest(RequestBody):
    """The past window to count in."""

    window_start: Instant | None = None
    """Start; a week before the end if left out."""
    window_end: Instant | None = None
    """End; now if left out."""


class Estimate(ResponseBody):
    """The work of an evaluation if it had run in a past window.

    If `complete` is false the window held more events than are read for an estimate: the newest `events` were, and
    the figures per day are taken from the time that they cover.
    """

    window_start: datetime
    window_end: datetime
    complete: bool
    events: int
    matched: int
    sampled_in: int
    sampled_in_per_day: float
    input_tokens_per_day: float
    output_tokens_per_day: float
    usd_per_day: float | None


class BackfillCreate(RequestBody):
    """The past window to run over."""

    window_start: Instant
    """Included."""
    window_end: Instant
    """Excluded."""
    rerun_existing: bool = False
    """Judge events that have a result too; without it only events that have none."""


class Backfill(ResponseBody):
    """One backfill and how far it is."""

    id: UUID
    evaluation_id: UUID
    evaluation_version: int
    window_start: datetime
    window_end: datetime
    rerun_existing: bool
    state: BackfillState
    error: str | None
    total: int | None
    read: int
    matched: int
    sampled_out: int
    evaluated: int
    skipped: int
    failed: int
    progress: float | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    created_by: User | None


class FilterShown(ResponseBody):
    """One filter, the value it saw, and what became of it. See `Why.values_shown` for a value and an error of null."""

    filter: dict[str, Any]
    value: Any
    outcome: Truth
    error: str | None


class GroupShown(ResponseBody):
    """A group of filters, and what became of it."""

    type: Literal["AND", "OR"]
    members: list[FilterShown | GroupShown]
    outcome: Truth


class SetShown(ResponseBody):
    """One condition set, and what became of it."""

    id: str
    rollout_percentage: float
    sampled_in: bool
    filters: Truth
    members: list[FilterShown | GroupShown]


class Why(ResponseBody):
    """Why an evaluation runs on an event, or does not, and the results that it gave."""

    event_uuid: str
    evaluation_id: UUID
    outcome: Literal["matched", "filtered", "sampled_out", "disabled", "no_conditions", "error"]
    condition_id: str | None
    rollout: float
    values_shown: bool
    """Whether the key has `query:read`. Otherwise `value` and `error` of every filter are null."""
    sets: list[SetShown]
    results: list[ResultShown]


class ResultShown(ResponseBody):
    """One stored result. `verdict` is under the present polarity and passing rule."""

    id: str
    timestamp: datetime
    verdict: VerdictName
    result_type: str
    result: bool | None
    score: float | None
    categories: list[str]
    reasoning: str
    skip_reason: str | None
    trigger: str
    evaluation_version: int
    target_event_id: str
    trace_id: str | None
    model: str | None
    provider: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    latency_s: float | None
    confidence: float | None
    """How sure the judge is, 0 to 1; null where it gave no confidence."""


class ResultQuery(BaseModel):
    """The results that a list shows; the period and the page are parameters that other lists share."""

    result: Annotated[VerdictName | None, Field(description="Only results of this verdict.")] = None
    trace_id: QueryText = None
    target_event_id: QueryText = None
    fingerprint: QueryText = None


class ResultSummary(ResponseBody):
    """Totals of all results that the filters of time, trace, version and confidence select.

    Skips and N/A are in no rate: `pass_rate` is passes among passes and fails, with its Wilson interval (95 %).
    """

    runs: int
    passed: int
    failed: int
    scored: int
    not_applicable: int
    skipped: dict[str, int]
    pass_rate: float | None
    pass_rate_low: float | None
    pass_rate_high: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


class RangeOverBudget(ResponseBody):
    """Runs that were not made because a budget was used up; a backfill over the range makes them."""

    owner: str
    """Whose budget: `evaluation:<id>` or `team:<id>`."""
    period_start: datetime
    first_event_at: datetime
    last_event_at: datetime
    runs: int


class Results(ResponseBody):
    """One page of results, and the summary of all."""

    count: int
    next: str | None
    previous: str | None
    summary: ResultSummary
    corrected: CorrectedRate | None
    """The pass rate or mean score without the judge's errors; null without labels of this version's question."""
    over_budget: list[RangeOverBudget]
    """Ranges of events that were not judged because a budget was used up, newest first."""
    results: list[ResultShown]


GroupShown.model_rebuild()
Why.model_rebuild()
