"""`evaluations/{id}/estimate`: what an evaluation would have done, and cost, over a window of the past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter

from api.auth import Scoped
from api.errors import Invalid
from api.judging import request_of
from api.routes.evaluations import find
from api.routes.parameters import IdPath
from api.routes.results import target
from api.schemas.actions import Estimate, EstimateRequest
from api.services import Services, ServicesParam
from conditions import EventRow, RowError, Target, compile_matcher
from config.clickhouse.rows import GENERATION, RowSelection, newest_rows
from config.definitions import Evaluation
from config.model_resolution import ResolvedModel, Unresolved
from config.prices import load_prices
from config.store.api_keys import ApiKey
from evaluators.hog import compile_expression
from evaluators.llm_judge.prompt import build_prompt
from processor.events.generation import parse_timestamp, to_generation

router = APIRouter(tags=["evaluations"])

MAX_READ = 5_000
"""Events read for an estimate; of a longer window the newest."""
DEFAULT_WINDOW = timedelta(days=7)

_CHARS_PER_TOKEN = 4.0
_OUTPUT_TOKENS = 150
"""A sentence of reasoning and a verdict."""


@dataclass(slots=True)
class _Counts:
    events: int = 0
    matched: int = 0
    sampled_in: int = 0
    input_tokens: float = 0.0
    oldest: datetime | None = None
    complete: bool = True


@router.post("/evaluations/{id}/estimate/")
def estimate(
    object_id: IdPath,
    body: EstimateRequest,
    caller: Annotated[ApiKey, Scoped("evaluation:read")],
    services: ServicesParam,
) -> Estimate:
    """Count how many events of a past window match and are sampled in; tokens and USD per day."""
    evaluation = find(services, caller, object_id)
    end = body.window_end or services.now()
    start = body.window_start or end - DEFAULT_WINDOW
    if start >= end:
        raise Invalid("window_start must be before window_end.", attr="window_start")
    resolved = _model(services, caller, evaluation)
    with services.archive.client() as client:
        rows = newest_rows(client, RowSelection(caller.team_id, event=GENERATION, after=start, before=end))
        counts = _count(rows, evaluation, resolved)
    covered = end - (start if counts.complete or counts.oldest is None else counts.oldest)
    days = max(covered.total_seconds(), 1.0) / 86_400
    return Estimate(
        window_start=start,
        window_end=end,
        complete=counts.complete,
        events=counts.events,
        matched=counts.matched,
        sampled_in=counts.sampled_in,
        sampled_in_per_day=counts.sampled_in / days,
        input_tokens_per_day=counts.input_tokens / days,
        output_tokens_per_day=_OUTPUT_TOKENS * counts.sampled_in / days if evaluation.prompt is not None else 0.0,
        usd_per_day=_usd(services, evaluation, resolved, counts, days),
    )


def _model(services: Services, caller: ApiKey, evaluation: Evaluation) -> ResolvedModel | None:
    """Return what would judge; None for Hog, and for a judge that has no key yet."""
    if evaluation.prompt is None:
        return None
    try:
        return services.judging.resolve(caller.team_id, evaluation.model_configuration, now=services.now())
    except Unresolved:
        return None


def _count(rows: Iterator[EventRow], evaluation: Evaluation, resolved: ResolvedModel | None) -> _Counts:
    own = target(evaluation)
    # Asked before it is enabled more often than after.
    asked = Target(id=own.id, conditions=own.conditions, enabled=True, cohort=own.cohort)
    matcher = compile_matcher([asked], compile_expression=compile_expression)
    counts = _Counts()
    for row in rows:
        if counts.events == MAX_READ:
            counts.complete = False
            break
        counts.events += 1
        try:
            found = matcher.match(row)
            counts.oldest = parse_timestamp(row.timestamp)
            if found.matched or found.sampled_out:
                counts.matched += 1
            if found.matched:
                counts.sampled_in += 1
                counts.input_tokens += _input_tokens(row, evaluation, resolved)
        except RowError:
            continue
    return counts


def _input_tokens(row: EventRow, evaluation: Evaluation, resolved: ResolvedModel | None) -> float:
    if evaluation.prompt is None or resolved is None:
        return 0.0
    request = request_of(evaluation.team_id, evaluation, resolved, to_generation(row), evaluation_id=evaluation.id)
    prompt = build_prompt(request.criteria, request.contract, request.transcript, nonce="0" * 32)
    return prompt.chars / _CHARS_PER_TOKEN


def _usd(
    services: Services, evaluation: Evaluation, resolved: ResolvedModel | None, counts: _Counts, days: float
) -> float | None:
    if evaluation.prompt is None:
        return 0.0
    if resolved is None:
        return None
    cost = load_prices(services.settings.judge.prices_path).cost(
        resolved.endpoint.provider, resolved.model, int(counts.input_tokens), _OUTPUT_TOKENS * counts.sampled_in
    )
    return None if cost is None else cost / days
