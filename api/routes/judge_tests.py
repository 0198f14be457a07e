"""`evaluations/test_judge`: a prompt and a model on the newest generations; nothing is stored."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.auth import Scoped
from api.errors import Invalid
from api.judging import request_of
from api.routes.evaluations import model_fields, parse
from api.samples import newest_generations, preview, read_conditions
from api.schemas.actions import JudgeSampleResult, JudgeTest, JudgeTestResult
from api.services import ServicesParam
from conditions import EventRow, RowError
from config.model_resolution import Unresolved
from config.store.api_keys import ApiKey
from evaluators.generation import Generation
from evaluators.llm_judge import Judged, RunOutcome
from evaluators.messages import render_input, render_output
from evaluators.verdict import Skip
from processor.events.generation import to_generation

router = APIRouter(tags=["evaluations"])


@router.post("/evaluations/test_judge/")
def test_judge(
    body: JudgeTest, caller: Annotated[ApiKey, Scoped("evaluation:write")], services: ServicesParam
) -> JudgeTestResult:
    """Test a prompt and a model against sample events without saving. Calls the model, on the team's account."""
    raw = {"name": "test", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": body.prompt}}
    given = body.given()
    raw |= {name: given[name] for name in ("output_type", "output_config") if given.get(name) is not None}
    raw |= model_fields(given)
    draft = parse(raw)
    services.judging.check_key(caller.team_id, draft)
    try:
        resolved = services.judging.resolve(caller.team_id, draft.model_configuration, now=services.now())
    except Unresolved as error:
        raise Invalid(
            f"No model can be called: {error.detail}.", code=error.code, attr="model_configuration"
        ) from error
    conditions = read_conditions(body.conditions)
    samples = newest_generations(services.archive, caller.team_id, conditions, body.sample_count, now=services.now())
    generations = [generation for row in samples.rows if (generation := _decoded(row)) is not None]
    outcomes = services.judging.judge(
        [request_of(caller.team_id, draft, resolved, each, evaluation_id="test") for each in generations]
    )
    results = [_shown(each, outcome) for each, outcome in zip(generations, outcomes, strict=True)]
    return JudgeTestResult(results=results, message=samples.message)


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
