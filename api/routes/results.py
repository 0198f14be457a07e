"""What an evaluation found (`results`), and why it ran on an event or did not (`why`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api.auth import Scoped
from api.errors import Invalid, NotFound
from api.pagination import WindowParam
from api.routes.evaluations import find
from api.routes.parameters import IdPath
from api.schemas.actions import Results, ResultShown, ResultSummary, Why
from api.schemas.parts import Instant
from api.services import ServicesParam
from conditions import RowError, Target, explain
from conditions.interpreter import FilterTrace, GroupTrace
from config.clickhouse.query import PassRule
from config.clickhouse.results import Selection, StoredResult, Summary, count_results, find_results, summarise
from config.clickhouse.rows import GENERATION, find_row
from config.definitions import Evaluation
from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput
from config.store.api_keys import ApiKey
from evaluators.hog import compile_expression

router = APIRouter(tags=["evaluations"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]
Verdict = Literal["pass", "fail", "scored", "not_applicable", "skipped"]
_Text = Query(max_length=400)


@router.get("/evaluations/{id}/results/")
def list_results(
    object_id: IdPath,
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    result: Annotated[Verdict | None, Query(description="Only results of this verdict.")] = None,
    after: Annotated[Instant | None, Query(description="Not before this time.")] = None,
    before: Annotated[Instant | None, Query(description="Before this time.")] = None,
    trace_id: Annotated[str | None, _Text] = None,
    target_event_id: Annotated[str | None, _Text] = None,
    fingerprint: Annotated[str | None, _Text] = None,
) -> Results:
    """List results, newest first, with totals: the pass rate leaves out skips and N/A."""
    evaluation = find(services, caller, object_id)
    rule = pass_rule(evaluation)
    selection = Selection(
        caller.team_id,
        evaluation_id=evaluation.id,
        after=after,
        before=before,
        trace_id=trace_id,
        target_event_id=target_event_id,
        fingerprint=fingerprint,
    )
    with services.archive.client() as client:
        summary = summarise(client, selection, rule)
        count = summary.runs if result is None else count_results(client, selection, rule, verdict=result)
        found = find_results(client, selection, rule, verdict=result, limit=window.limit, offset=window.offset)
    page = window.page([shown(each) for each in found], count)
    return Results(count=count, next=page.next, previous=page.previous, summary=_summary(summary), results=page.results)


@router.get("/evaluations/{id}/why/")
def why(
    object_id: IdPath,
    caller: Reader,
    services: ServicesParam,
    event: Annotated[str, Query(min_length=1, max_length=200, description="uuid of the event.")],
) -> Why:
    """Explain for one event: each set, each filter, its rollout number, and what happened."""
    evaluation = find(services, caller, object_id)
    with services.archive.client() as client:
        row = find_row(client, caller.team_id, event, event=GENERATION)
        if row is None:
            raise NotFound("There is no $ai_generation event with this uuid in the archive.")
        selection = Selection(caller.team_id, evaluation_id=evaluation.id, target_event_id=event)
        results = find_results(client, selection, pass_rule(evaluation))
    try:
        explanation = explain(target(evaluation), row, compile_expression=compile_expression)
    except RowError as error:
        raise Invalid(f"The event cannot be matched: {error}", attr="event") from error
    return Why(
        event_uuid=row.uuid,
        evaluation_id=evaluation.id,
        outcome=explanation.outcome,
        condition_id=explanation.condition_id,
        rollout=explanation.rollout,
        sets=[
            {
                "id": each.id,
                "rollout_percentage": each.rollout_percentage,
                "sampled_in": each.sampled_in,
                "filters": each.filters,
                "members": [_member(member) for member in each.members],
            }
            for each in explanation.sets
        ],
        results=[shown(each) for each in results],
    )


def target(evaluation: Evaluation) -> Target:
    """Return what the matcher decides about, as it runs live."""
    return Target(
        id=evaluation.id,
        conditions=evaluation.conditions,
        enabled=evaluation.enabled and not evaluation.deleted,
        cohort=evaluation.sampling_cohort,
    )


def pass_rule(evaluation: Evaluation) -> PassRule:
    """Return how results of `evaluation` are read: its polarity, or its passing rule."""
    output = evaluation.output_config
    if isinstance(output, BooleanOutput):
        return PassRule(true_is_failure=output.true_is_failure)
    if isinstance(output, NumericOutput) and output.passing_rule is not None:
        return PassRule(operator=output.passing_rule.operator, threshold=output.passing_rule.threshold)
    if isinstance(output, CategoricalOutput) and output.passing_rule is not None:
        return PassRule(categories=output.passing_rule.categories)
    return PassRule()


def shown(result: StoredResult) -> ResultShown:
    """Return one stored result as the API shows it."""
    return ResultShown(
        id=result.uuid,
        timestamp=result.timestamp,
        verdict=result.verdict,
        result_type=result.result_type,
        result=result.result,
        score=result.numeric_result,
        categories=result.categorical_result,
        reasoning=result.reasoning,
        skip_reason=result.skip_reason or None,
        trigger=result.trigger,
        evaluation_version=result.evaluation_version,
        target_event_id=result.target_event_id,
        trace_id=result.trace_id or None,
        model=result.evaluation_model or None,
        provider=result.evaluation_provider or None,
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
        cost_usd=result.cost_usd,
        latency_s=result.latency_s,
    )


def _summary(summary: Summary) -> ResultSummary:
    low, high = summary.interval or (None, None)
    return ResultSummary(
        runs=summary.runs,
        passed=summary.passed,
        failed=summary.failed,
        scored=summary.scored,
        not_applicable=summary.not_applicable,
        skipped=dict(summary.skipped),
        pass_rate=summary.pass_rate,
        pass_rate_low=low,
        pass_rate_high=high,
        latency_p50_s=summary.latency_p50_s,
        latency_p95_s=summary.latency_p95_s,
        input_tokens=summary.input_tokens,
        output_tokens=summary.output_tokens,
        cost_usd=summary.cost_usd,
    )


def _member(trace: FilterTrace | GroupTrace) -> dict[str, Any]:
    if isinstance(trace, GroupTrace):
        return {
            "type": trace.type,
            "members": [_member(member) for member in trace.members],
            "outcome": trace.outcome,
        }
    return {
        "filter": trace.filter.model_dump(mode="json"),
        "value": trace.value,
        "outcome": trace.outcome,
        "error": trace.error,
    }
