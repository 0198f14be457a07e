"""`datasets/{id}/evaluate`: an evaluation, or an older version of it, over a dataset; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import RowMapping

from api.http.auth import Scoped
from api.http.errors import Invalid, NotFound
from api.http.one_hop import OneHopRoute
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath
from api.schemas.datasets import DatasetAgreement, DatasetEvaluate, ItemVerdict
from api.services.definitions import find
from api.services.resources import Services
from api.services.versions import version_of
from config.definitions import EvaluationDraft
from config.judge_request import try_hog
from config.model_resolution import Unresolved
from evaluators.generation import Generation
from evaluators.hog import HogEvaluator
from evaluators.llm_judge import Judged
from evaluators.verdict import Skip, Verdict
from processor.events.generation import GENERATION_EVENT
from quality.intervals import wilson
from storage.sql.api_keys import ApiKey
from storage.sql.datasets import Datasets, event_of

router = APIRouter(route_class=OneHopRoute, tags=["datasets"])

MAX_ITEMS = 200
"""Items that one request runs; a judge is called for each."""
NOT_APPLICABLE = "not_applicable"

_WORDS: dict[str, bool | str] = {"pass": True, "true": True, "fail": False, "false": False, "na": NOT_APPLICABLE}

Outcome = Verdict | Skip | str
"""A verdict, a skip, or why there is neither."""


@router.post("/datasets/{id}/evaluate/")
@slow
def evaluate_dataset(
    object_id: IdPath,
    body: DatasetEvaluate,
    caller: Annotated[ApiKey, Scoped("dataset:read")],
    _judging: Annotated[ApiKey, Scoped("evaluation:write")],
    services: ServicesParam,
) -> DatasetAgreement:
    """Run an evaluation over a dataset and compare with what the items expect (`metadata.expected`)."""
    repository = Datasets(services.database)
    if repository.get(caller.team_id, str(object_id)) is None:
        raise NotFound
    evaluation = find(services, caller, body.evaluation_id)
    version = version_of(services, evaluation, body.version)
    rows = list(islice(repository.items(caller.team_id, str(object_id)), MAX_ITEMS + 1))
    complete, rows = len(rows) <= MAX_ITEMS, rows[:MAX_ITEMS]
    outcomes = _run(services, caller, version.draft, [_generation(row) for row in rows], evaluation.id)
    results = [_compare(row, outcome) for row, outcome in zip(rows, outcomes, strict=True)]
    compared = [result.agrees for result in results if result.agrees is not None]
    agreed = sum(compared)
    low, high = wilson(agreed, len(compared)) or (None, None)
    return DatasetAgreement(
        evaluation_id=UUID(evaluation.id),
        version=version.number,
        complete=complete,
        items=len(rows),
        compared=len(compared),
        agreed=agreed,
        agreement=agreed / len(compared) if compared else None,
        agreement_low=low,
        agreement_high=high,
        results=results,
    )


def _generation(row: RowMapping) -> Generation:
    event = event_of(row)
    return Generation(
        uuid=event["uuid"],
        team_id=row["team_id"],
        event=GENERATION_EVENT,
        distinct_id=event["distinct_id"],
        timestamp=datetime.fromisoformat(event["timestamp"]),
        properties=event["properties"],
    )


def _run(
    services: Services, caller: ApiKey, draft: EvaluationDraft, generations: Sequence[Generation], evaluation_id: str
) -> list[Outcome]:
    if draft.source is not None:
        evaluator = HogEvaluator(draft.source, allows_na=draft.output_config.allows_na)
        return list(try_hog(evaluator, generations, services.settings.judge))
    try:
        resolved = services.models.resolve(caller.team_id, draft.model_configuration, now=services.now())
    except Unresolved as error:
        raise Invalid(f"No model can be called: {error.detail}.", code=error.code, attr="evaluation_id") from error
    outcomes = services.judging.judge(
        [services.judging.request(draft, resolved, each, evaluation_id=evaluation_id) for each in generations]
    )
    return [outcome.outcome if isinstance(outcome, Judged) else outcome.detail for outcome in outcomes]


def _compare(row: RowMapping, outcome: Outcome) -> ItemVerdict:
    expected = row["metadata"].get("expected") if isinstance(row["metadata"], dict) else None
    result: Any = None
    reasoning = error = None
    agrees: bool | None = None
    if isinstance(outcome, Verdict):
        reasoning = outcome.reasoning
        result = _plain(outcome)
        agrees = None if expected is None else _meaning(expected) == _meaning(result)
    else:
        error = outcome.detail if isinstance(outcome, Skip) else outcome
    return ItemVerdict(
        item=UUID(row["id"]), expected=expected, result=result, agrees=agrees, reasoning=reasoning, error=error
    )


def _plain(verdict: Verdict) -> Any:
    if not verdict.applicable:
        return NOT_APPLICABLE
    if verdict.categories is not None:
        return list(verdict.categories)
    return verdict.score if verdict.score is not None else verdict.result


def _meaning(value: Any) -> Any:
    """Return what an expectation says, however it is written: `pass` is true, the order of categories says nothing."""
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower(), value)
    return sorted(map(str, value)) if isinstance(value, list) else value
