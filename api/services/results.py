"""Stored results as the API and the console show them."""

from __future__ import annotations

from api.schemas.actions import ResultShown
from storage.clickhouse.results import StoredResult


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
