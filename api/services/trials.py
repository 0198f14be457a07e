"""Trials of a definition on the newest generations that meet its conditions; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence

from api.http.errors import Invalid
from api.schemas.actions import HogTestResult, JudgeSampleResult, JudgeTestResult, SampleResult
from api.services.resources import Services
from api.services.samples import newest_generations, preview
from conditions import ConditionSet, EventRow, RowError
from config.definitions import EvaluationDraft
from config.model_resolution import Unresolved
from evaluators.generation import Generation
from evaluators.hog import EVALUATOR_GLOBALS, HogCompileError, HogEvaluator, HogTimeExceeded, compile_program
from evaluators.llm_judge import Judged, RunOutcome
from evaluators.messages import render_input, render_output
from evaluators.verdict import Skip
from processor.events.generation import to_generation

_TIME_LIMIT_S = 2.0


def try_hog(
    services: Services, team_id: int, source: str, conditions: Sequence[ConditionSet], count: int, *, allows_na: bool
) -> HogTestResult:
    """Run Hog code on up to `count` generations. Raises `Invalid` if it does not compile."""
    try:
        # The same sources are refused here as when an evaluation is saved.
        compile_program(source, known_globals=EVALUATOR_GLOBALS)
        evaluator = HogEvaluator(source, allows_na=allows_na)
    except HogCompileError as error:
        raise Invalid(str(error), code="hog_compile_error", attr="source") from error
    samples = newest_generations(services.archive, team_id, conditions, count, now=services.now())
    return HogTestResult(results=[_run(evaluator, row) for row in samples.rows], message=samples.message)


def try_judge(
    services: Services, team_id: int, draft: EvaluationDraft, conditions: Sequence[ConditionSet], count: int
) -> JudgeTestResult:
    """Let a model judge up to `count` generations, on the team's account. Raises `Invalid` if none can be called."""
    services.judging.check_key(team_id, draft)
    try:
        resolved = services.judging.resolve(team_id, draft.model_configuration, now=services.now())
    except Unresolved as error:
        detail = f"No model can be called: {error.detail}."
        raise Invalid(detail, code=error.code, attr="model_configuration") from error
    samples = newest_generations(services.archive, team_id, conditions, count, now=services.now())
    generations = [generation for row in samples.rows if (generation := _decoded(row)) is not None]
    outcomes = services.judging.judge(
        [services.judging.request(draft, resolved, each, evaluation_id="test") for each in generations]
    )
    results = [_shown(each, outcome) for each, outcome in zip(generations, outcomes, strict=True)]
    return JudgeTestResult(results=results, message=samples.message)


def _run(evaluator: HogEvaluator, row: EventRow) -> SampleResult:
    try:
        generation = to_generation(row)
    except RowError as error:
        return SampleResult(
            event_uuid=row.uuid, trace_id=None, input_preview="", output_preview="",
            result=None, reasoning=None, error=str(error),
        )  # fmt: skip
    shown = SampleResult(
        event_uuid=row.uuid,
        trace_id=str(trace) if (trace := generation.properties.get("$ai_trace_id")) is not None else None,
        input_preview=preview(render_input(generation.input)),
        output_preview=preview(render_output(generation.output)),
        result=None,
        reasoning=None,
        error=None,
    )
    try:
        outcome = evaluator.evaluate(generation, time_limit_s=_TIME_LIMIT_S)
    except HogTimeExceeded:
        return shown.model_copy(update={"error": f"The code took longer than {_TIME_LIMIT_S:g} s."})
    if isinstance(outcome, Skip):
        return shown.model_copy(update={"error": outcome.detail, "reasoning": outcome.reasoning})
    return shown.model_copy(update={"result": outcome.result, "reasoning": outcome.reasoning})


def _decoded(row: EventRow) -> Generation | None:
    try:
        return to_generation(row)
    except RowError:
        return None


def _shown(generation: Generation, outcome: RunOutcome) -> JudgeSampleResult:
    trace = generation.properties.get("$ai_trace_id")
    shown = JudgeSampleResult(
        event_uuid=generation.uuid,
        trace_id=str(trace) if trace is not None else None,
        input_preview=preview(render_input(generation.input)),
        output_preview=preview(render_output(generation.output)),
        result=None,
        reasoning=None,
        error=None,
    )
    if not isinstance(outcome, Judged):
        return shown.model_copy(update={"error": outcome.detail})
    found: dict[str, object] = {"reasoning": outcome.outcome.reasoning}
    if isinstance(outcome.outcome, Skip):
        found["error"] = outcome.outcome.detail
    else:
        verdict = outcome.outcome
        found |= {"result": verdict.result, "score": verdict.score}
        found["categories"] = list(verdict.categories) if verdict.categories is not None else None
    if outcome.usage is not None:
        usage = outcome.usage
        found |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "cost_usd": usage.cost_usd}
    return shown.model_copy(update=found)
