"""`results` of an evaluation, and `why` it ran on an event or did not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.http.auth import Scoped
from api.http.one_hop import OneHopRoute
from api.http.pagination import WindowParam
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import AfterParam, BeforeParam, ConfidenceParam, IdPath
from api.schemas.actions import RangeOverBudget, ResultQuery, Results, ResultSummary, Why
from api.services import verdicts
from api.services.definitions import find
from api.services.event_access import may_read_events
from api.services.results import shown
from api.services.trust.report import corrected_of
from storage.clickhouse.results import ResultSelection, Summary, count_results, find_results, summarise
from storage.sql.api_keys import ApiKey
from storage.sql.budgets import Budgets

router = APIRouter(route_class=OneHopRoute, tags=["evaluations"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]


@router.get("/evaluations/{id}/results/")
def list_results(
    object_id: IdPath,
    caller: Reader,
    services: ServicesParam,
    window: WindowParam,
    query: Annotated[ResultQuery, Query()],
    confidence: ConfidenceParam,
    after: AfterParam = None,
    before: BeforeParam = None,
) -> Results:
    """List results, newest first, with totals: the pass rate leaves out skips and N/A."""
    evaluation = find(services, caller, object_id)
    rule = verdicts.pass_rule(evaluation)
    selection = ResultSelection(
        caller.team_id,
        evaluation_id=evaluation.id,
        after=after,
        before=before,
        trace_id=query.trace_id,
        target_event_id=query.target_event_id,
        fingerprint=query.fingerprint,
        confidence=confidence,
    )
    with services.archive.client() as client:
        summary = summarise(client, selection, rule)
        count = summary.runs if query.result is None else count_results(client, selection, rule, verdict=query.result)
        found = find_results(client, selection, rule, verdict=query.result, limit=window.limit, offset=window.offset)
    page = window.page([shown(each) for each in found], count)
    skips = Budgets(services.database).skips(caller.team_id, evaluation.id)
    return Results(
        count=count,
        next=page.next,
        previous=page.previous,
        summary=_summary(summary),
        corrected=None
        if query.trace_id or query.target_event_id or confidence
        else corrected_of(services, evaluation, fingerprint=query.fingerprint, after=after, before=before),
        over_budget=[RangeOverBudget.model_validate(skip) for skip in skips],
        results=page.results,
    )


@router.get("/evaluations/{id}/why/")
@slow
def why(
    object_id: IdPath,
    caller: Reader,
    services: ServicesParam,
    event: Annotated[str, Query(min_length=1, max_length=200, description="uuid of the event.")],
) -> Why:
    """Explain for one event: each set, each filter, its rollout number, and what happened."""
    evaluation = find(services, caller, object_id)
    with services.archive.client() as client:
        return verdicts.why(client, evaluation, event, readable=may_read_events(caller))


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
