"""Stored results as the API and the console show them."""

from __future__ import annotations

from math import nan

from api.http.errors import Invalid
from api.schemas.actions import ResultShown
from storage.clickhouse.query import ConfidenceRange
from storage.clickhouse.results import StoredResult


def confidence_between(least: float | str | None, most: float | str | None) -> ConfidenceRange:
    """Return the range from `min_confidence` to `max_confidence`, numbers or texts. An empty text leaves an end open.

    Raises:
        Invalid: on one of the two.
    """
    low, high = _confidence(least, "min_confidence"), _confidence(most, "max_confidence")
    if low is not None and high is not None and low > high:
        raise Invalid("The least confidence is above the most.", attr="min_confidence")
    return ConfidenceRange(low, high)


def _confidence(given: float | str | None, attr: str) -> float | None:
    if given is None or given == "":
        return None
    try:
        value = float(given)
    except ValueError:
        value = nan
    if not 0 <= value <= 1:
        raise Invalid("A confidence is a number from 0 to 1, such as 0.8.", attr=attr)
    return value


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
        confidence=result.confidence,
    )
