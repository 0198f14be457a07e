"""`evaluations/test_hog`: Hog code on the newest generations; nothing is stored."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.auth import Scoped
from api.errors import Invalid
from api.samples import newest_generations, preview, read_conditions
from api.schemas.actions import HogTest, HogTestResult, SampleResult
from api.services import ServicesParam
from conditions import EventRow, RowError
from config.store.api_keys import ApiKey
from evaluators.hog import EVALUATOR_GLOBALS, HogCompileError, HogEvaluator, HogTimeExceeded, compile_program
from evaluators.messages import render_input, render_output
from evaluators.verdict import Skip
from processor.events.generation import to_generation

router = APIRouter(tags=["evaluations"])

_TIME_LIMIT_S = 2.0


@router.post("/evaluations/test_hog/")
def test_hog(
    body: HogTest, caller: Annotated[ApiKey, Scoped("evaluation:read")], services: ServicesParam
) -> HogTestResult:
    """Test Hog evaluation code against sample events without saving."""
    try:
        # As when an evaluation is saved: what would be refused there is refused here.
        compile_program(body.source, known_globals=EVALUATOR_GLOBALS)
        evaluator = HogEvaluator(body.source, allows_na=body.allows_na)
    except HogCompileError as error:
        raise Invalid(str(error), code="hog_compile_error", attr="source") from error
    conditions = read_conditions(body.conditions)
    samples = newest_generations(services.archive, caller.team_id, conditions, body.sample_count, now=services.now())
    return HogTestResult(results=[_run(evaluator, row) for row in samples.rows], message=samples.message)


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
