"""Trials of a definition on the newest generations that meet its conditions; nothing is stored."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Generic, TypeVar

from api.http.errors import Invalid
from api.schemas.actions import JudgeSampleResult
from api.schemas.actions import SampleResult as SampleResult  # noqa: PLC0414  # the console reads it here
from api.services.resources import Services
from api.services.samples import newest_generations, preview
from conditions import ConditionSet, EventRow, RowError
from config import judge_request
from config.definitions import EvaluationDraft
from config.model_resolution import Unresolved
from evaluators.generation import Generation
from evaluators.hog import EVALUATOR_GLOBALS, HogCompileError, HogEvaluator, compile_program
from evaluators.llm_judge import Judged, RunOutcome
from evaluators.messages import render_input, render_output
from evaluators.verdict import VERDICT_NAMES, Skip, Verdict, VerdictName
from processor.events.generation import to_generation
from storage.clickhouse.query import PassRule as PassRule  # noqa: PLC0414  # the console reads it here

MOST = 500
"""Generations of one backtest."""
BEGINS_FOR_S = judge_request.TRY_OUT_S
"""For how long a trial begins further runs, because somebody waits for it. A run that has begun may end later."""
_LATE = f"The {BEGINS_FOR_S:g} seconds of a trial were over before this one began."

_Shown_co = TypeVar("_Shown_co", bound=SampleResult, covariant=True)


@dataclass(frozen=True, slots=True)
class Tried(Generic[_Shown_co]):
    """One generation on which a definition was tried.

    Attributes:
        shown: as the API shows it.
        verdict: None if there is none.
        latency_s: from the beginning of the run to its end; None if nothing ran.
        begun: whether there was time to begin the run.
    """

    shown: _Shown_co
    verdict: Verdict | None = None
    latency_s: float | None = None
    begun: bool = True

    def outcome(self, rule: PassRule) -> VerdictName:
        """Return how a definition with this passing rule reads the verdict; `scored` if the rule does not decide."""
        return "skipped" if self.verdict is None else rule.name_of(self.answer)

    @property
    def words(self) -> str:
        """The score or the categories; empty for anything else."""
        if self.verdict is None or not self.verdict.applicable:
            return ""
        if self.verdict.categories is not None:
            return ", ".join(self.verdict.categories)
        return "" if self.verdict.score is None else f"{self.verdict.score:g}"

    @property
    def answer(self) -> bool | float | frozenset[str] | None:
        """The verdict as a passing rule reads it; None for none and for one that is not applicable."""
        if self.verdict is None or not self.verdict.applicable:
            return None
        if self.verdict.categories is not None:
            return frozenset(self.verdict.categories)
        return self.verdict.result if self.verdict.score is None else self.verdict.score


@dataclass(frozen=True, slots=True)
class Trial(Generic[_Shown_co]):
    """A definition tried on several generations.

    Attributes:
        tried: newest first.
        message: says why there are none, or fewer than asked for.
    """

    tried: tuple[Tried[_Shown_co], ...]
    message: str | None


@dataclass(frozen=True, slots=True)
class Backtest:
    """The figures of a trial.

    Attributes:
        found, tried: generations that matched, and those of them for which there was time.
        counts: outcome → generations that were tried.
        pass_rate: among passes and fails; None without any.
        p95_s: the latency that 95 of 100 runs kept.
        cost_usd: None if no run has a price.
        message: as of `Trial`.
    """

    found: int
    tried: int
    counts: Mapping[str, int]
    pass_rate: float | None
    p95_s: float | None
    cost_usd: float | None
    message: str | None


def summed_up(trial: Trial[SampleResult], rule: PassRule) -> Backtest:
    """Return the figures of a trial, its verdicts read by a passing rule."""
    tried = [each for each in trial.tried if each.begun]
    outcomes = [each.outcome(rule) for each in tried]
    counts: dict[str, int] = {name: outcomes.count(name) for name in VERDICT_NAMES}
    decided = counts["pass"] + counts["fail"]
    latencies = sorted(each.latency_s for each in tried if each.latency_s is not None)
    costs = [cost for each in tried if (cost := getattr(each.shown, "cost_usd", None)) is not None]
    return Backtest(
        found=len(trial.tried),
        tried=len(tried),
        counts=counts,
        pass_rate=counts["pass"] / decided if decided else None,
        p95_s=latencies[ceil(0.95 * len(latencies)) - 1] if latencies else None,
        cost_usd=sum(costs) if costs else None,
        message=trial.message,
    )


def try_draft(
    services: Services, team_id: int, draft: EvaluationDraft, conditions: Sequence[ConditionSet], count: int
) -> Trial[SampleResult]:
    """Run a definition of any type on up to `count` generations. Blocks for up to a minute; errors as those below."""
    if draft.source is None:
        return try_judge(services, team_id, draft, conditions, count)
    return try_hog(services, team_id, draft.source, conditions, count, allows_na=draft.output_config.allows_na)


def try_hog(
    services: Services, team_id: int, source: str, conditions: Sequence[ConditionSet], count: int, *, allows_na: bool
) -> Trial[SampleResult]:
    """Run Hog code on up to `count` generations. Raises `Invalid` if it does not compile."""
    try:
        # The same sources are refused here as when an evaluation is saved.
        compile_program(source, known_globals=EVALUATOR_GLOBALS)
        evaluator = HogEvaluator(source, allows_na=allows_na)
    except HogCompileError as error:
        raise Invalid(str(error), code="hog_compile_error", attr="source") from error
    samples = newest_generations(services.archive, team_id, conditions, count, now=services.now())
    read = [_read(row) for row in samples.rows]
    generations = [found for found in read if isinstance(found, Generation)]
    outcomes = judge_request.try_hog(evaluator, generations, services.settings.judge)
    tried = [
        _run(found, outcomes) if isinstance(found, Generation) else Tried(_unreadable(row, found))
        for row, found in zip(samples.rows, read, strict=True)
    ]
    return Trial(tuple(tried), samples.message)


def try_judge(
    services: Services, team_id: int, draft: EvaluationDraft, conditions: Sequence[ConditionSet], count: int
) -> Trial[JudgeSampleResult]:
    """Let a model judge up to `count` generations, on the team's account. Raises `Invalid` if none can be called."""
    services.models.check_key(team_id, draft)
    try:
        resolved = services.models.resolve(team_id, draft.model_configuration, now=services.now())
    except Unresolved as error:
        detail = f"No model can be called: {error.detail}."
        raise Invalid(detail, code=error.code, attr="model_configuration") from error
    samples = newest_generations(services.archive, team_id, conditions, count, now=services.now())
    generations = [found for row in samples.rows if isinstance(found := _read(row), Generation)]
    outcomes = services.judging.judge_in_time(
        [services.judging.request(draft, resolved, each, evaluation_id="test") for each in generations],
        begin_for_s=BEGINS_FOR_S,
    )
    tried = [_judged(each, outcome) for each, outcome in zip(generations, outcomes, strict=True)]
    return Trial(tuple(tried), samples.message)


def _read(row: EventRow) -> Generation | RowError:
    try:
        return to_generation(row)
    except RowError as error:
        return error


def _unreadable(row: EventRow, error: RowError) -> SampleResult:
    return SampleResult(
        event_uuid=row.uuid, trace_id=None, input_preview="", output_preview="",
        result=None, reasoning=None, error=str(error),
    )  # fmt: skip


def _sample(generation: Generation) -> dict[str, Any]:
    """Return the fields that show a generation, with no outcome yet."""
    trace = generation.properties.get("$ai_trace_id")
    return {
        "event_uuid": generation.uuid,
        "trace_id": None if trace is None else str(trace),
        "input_preview": preview(render_input(generation.input)),
        "output_preview": preview(render_output(generation.output)),
        "result": None,
        "reasoning": None,
        "error": None,
    }


def _run(generation: Generation, outcomes: Iterator[Verdict | Skip]) -> Tried[SampleResult]:
    shown = SampleResult(**_sample(generation))
    began = time.monotonic()
    outcome = next(outcomes)
    if outcome is judge_request.NOT_RUN:
        return Tried(shown.model_copy(update={"error": _LATE}), begun=False)
    took_s = time.monotonic() - began
    if isinstance(outcome, Skip):
        skipped = shown.model_copy(update={"error": outcome.detail, "reasoning": outcome.reasoning})
        return Tried(skipped, None, took_s)
    update = {"result": outcome.result, "reasoning": outcome.reasoning}
    return Tried(shown.model_copy(update=update), outcome, took_s)


def _judged(generation: Generation, outcome: RunOutcome | None) -> Tried[JudgeSampleResult]:
    shown = JudgeSampleResult(**_sample(generation))
    if outcome is None:
        return Tried(shown.model_copy(update={"error": _LATE}), begun=False)
    if not isinstance(outcome, Judged):
        return Tried(shown.model_copy(update={"error": outcome.detail}))
    found: dict[str, Any] = {"reasoning": outcome.outcome.reasoning}
    verdict = None
    if isinstance(outcome.outcome, Skip):
        found["error"] = outcome.outcome.detail
    else:
        verdict = outcome.outcome
        found |= {"result": verdict.result, "score": verdict.score}
        found["categories"] = list(verdict.categories) if verdict.categories is not None else None
    usage = outcome.usage
    if usage is not None:
        found |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "cost_usd": usage.cost_usd}
    return Tried(shown.model_copy(update=found), verdict, None if usage is None else usage.latency_s)
