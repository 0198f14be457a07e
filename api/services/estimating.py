"""Estimates the work and the cost that an evaluation would have had over a window of the past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from clickhouse_connect.driver.client import Client

from api.schemas.actions import Estimate as Estimate  # noqa: PLC0414  # the console reads it here
from api.services.resources import Services
from api.services.verdicts import target
from conditions import EventRow, RowError, Target, compile_matcher
from config.definitions import Evaluation
from config.model_resolution import ResolvedModel, Unresolved
from config.prices import load_prices
from evaluators.hog import compile_expression
from evaluators.llm_judge.estimate import RunEstimate
from processor.events.generation import parse_timestamp, to_generation
from storage.clickhouse.rows import GENERATION, RowSelection, newest_rows

MAX_READ = 5_000
"""Events read for an estimate; of a longer window the newest."""
DEFAULT_WINDOW = timedelta(days=7)


@dataclass(slots=True)
class _Counts:
    events: int = 0
    matched: int = 0
    sampled_in: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    unpriced: bool = False
    oldest: datetime | None = None
    complete: bool = True

    def add(self, used: RunEstimate) -> None:
        """Add what one run would use."""
        self.input_tokens += used.input_tokens
        self.output_tokens += used.output_tokens
        self.usd += used.cost_usd or 0.0
        self.unpriced = self.unpriced or used.cost_usd is None


def estimate(services: Services, client: Client, evaluation: Evaluation, start: datetime, end: datetime) -> Estimate:
    """Count how many events from `start` to `end` match and are sampled in; tokens and USD per day."""
    return estimate_since(services, client, evaluation, start, end)[0]


def estimate_since(
    services: Services, client: Client, evaluation: Evaluation, start: datetime, end: datetime
) -> tuple[Estimate, datetime]:
    """Return the estimate, and the time of the oldest event that was counted for it."""
    resolved = _model(services, evaluation)
    rows = newest_rows(client, RowSelection(evaluation.team_id, event=GENERATION, after=start, before=end))
    counts = _count(services, rows, evaluation, resolved)
    since = start if counts.complete or counts.oldest is None else counts.oldest
    days = max((end - since).total_seconds(), 1.0) / 86_400
    found = Estimate(
        window_start=start,
        window_end=end,
        complete=counts.complete,
        events=counts.events,
        matched=counts.matched,
        sampled_in=counts.sampled_in,
        sampled_in_per_day=counts.sampled_in / days,
        input_tokens_per_day=counts.input_tokens / days,
        output_tokens_per_day=counts.output_tokens / days,
        usd_per_day=_usd(evaluation, resolved, counts, days),
    )
    return found, since


def _model(services: Services, evaluation: Evaluation) -> ResolvedModel | None:
    """Return the model that would judge; None for Hog, and for a judge that has no key yet."""
    if evaluation.prompt is None:
        return None
    try:
        return services.models.resolve(evaluation.team_id, evaluation.model_configuration, now=services.now())
    except Unresolved:
        return None


def _count(
    services: Services, rows: Iterator[EventRow], evaluation: Evaluation, resolved: ResolvedModel | None
) -> _Counts:
    own = target(evaluation)
    # Asked before it is enabled more often than after.
    asked = Target(id=own.id, conditions=own.conditions, enabled=True, cohort=own.cohort)
    matcher = compile_matcher([asked], compile_expression=compile_expression)
    price = load_prices(services.settings.judge.prices_path).cost
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
                counts.add(services.judging.estimate(evaluation, resolved, to_generation(row), price))
        except RowError:
            continue
    return counts


def _usd(evaluation: Evaluation, resolved: ResolvedModel | None, counts: _Counts, days: float) -> float | None:
    if evaluation.prompt is None:
        return 0.0
    return None if resolved is None or counts.unpriced else counts.usd / days
