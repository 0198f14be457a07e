"""Whether a key can judge with a model, and in which form the model answers: one small run, which costs tokens."""

from __future__ import annotations

from dataclasses import dataclass

from evaluators.llm_judge.judge import Judge
from evaluators.llm_judge.ladder import Rung
from evaluators.llm_judge.neutral import neutral_request
from evaluators.llm_judge.outcome import Judged, Parked
from evaluators.llm_judge.providers import Endpoint
from evaluators.verdict import Skip, Verdict


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """The result of a check.

    Attributes:
        mode: the rung of the structured-output ladder that the model answered on; None if it gave no verdict.
        temperature: whether it takes one.
        problem: why there was no verdict, for a person; None if there was one.
    """

    mode: Rung | None
    temperature: bool
    problem: str | None


async def check_model(judge: Judge, endpoint: Endpoint, model: str, *, team_id: int) -> ModelCheck:
    """Judge a question and its answer by the model, and say how that went. Never raises for what a provider does."""
    request = neutral_request(endpoint, model, team_id=team_id, evaluation_id="check")
    outcome = await judge.run(request)
    known = judge.ladder.of(endpoint.address, model)
    if isinstance(outcome, Judged) and isinstance(outcome.outcome, Verdict):
        return ModelCheck(judge.ladder.rung(endpoint.address, model), known.temperature, None)
    if isinstance(outcome, Judged) and isinstance(outcome.outcome, Skip):
        return ModelCheck(None, known.temperature, f"{outcome.outcome.reason}: {outcome.outcome.detail}")
    return ModelCheck(None, known.temperature, outcome.detail if isinstance(outcome, Parked) else "no budget")
