"""One run of a judge to look at: what was asked, what was answered, and what it was read as."""

from __future__ import annotations

from config.definitions import EvaluationDraft
from config.judge_request import request_of
from config.model_resolution import ResolvedModel
from config.prices import PriceTable
from config.settings.sections import Judge as JudgeSettings
from evaluators.generation import Generation
from evaluators.llm_judge import Endpoint
from evaluators.llm_judge.caller import Caller
from evaluators.llm_judge.one_off import Attempt, try_once


async def try_judge(
    draft: EvaluationDraft,
    generation: Generation,
    endpoint: Endpoint,
    model: str,
    *,
    caller: Caller,
    prices: PriceTable,
    settings: JudgeSettings,
) -> Attempt:
    """Judge one generation once, without a store. The caller must belong to the running event loop.

    Args:
        endpoint: of all models of a strategy.
        model: that judges. If it is the definition's own, a strategy asks its models, else this one in each step.
    """
    chosen = draft.model_configuration
    named = () if chosen is None or chosen.strategy is None or model != chosen.model else chosen.models
    steps = tuple(ResolvedModel(endpoint, step.model) for step in named)
    resolved = ResolvedModel(endpoint, model, steps)
    request = request_of(draft, resolved, generation, settings, evaluation_id="try")
    return await try_once(request, caller, price=prices.cost)
