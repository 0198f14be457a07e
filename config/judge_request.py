"""The one builder of a judge request: what a definition asks a model about one generation.

Live runs, `gavel judge try`, `test_judge`, dataset runs, estimates and backfills all build their requests here, so
that the same generation under the same definition is judged in the same way wherever it is judged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial

from config.definitions import Evaluation, EvaluationDraft
from config.model_resolution import ResolvedModel
from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput, OutputConfig
from config.settings.sections import Judge as JudgeSettings
from config.strategies import HogStep, Strategy
from evaluators.generation import Generation, is_errored
from evaluators.hog import HogEvaluator
from evaluators.llm_judge import Endpoint, JudgeRequest, OutputContract, transcribe
from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.estimate import RunEstimate, estimate
from evaluators.llm_judge.outcome import JudgePlan, PlannedStep, Price
from evaluators.verdict import Skip, Verdict

TRY_OUT_S = 30.0
"""Seconds in which the code of one request is tried out on generations."""
NOT_RUN = Skip("hog_error", f"not run, because the code took {TRY_OUT_S:g} s for the generations before it")
"""The outcome of a generation for which `try_hog` has no time left."""
_ANY_MODEL = ResolvedModel(Endpoint(provider="custom", api_key=""), "")


def request_of(
    definition: EvaluationDraft,
    resolved: ResolvedModel,
    generation: Generation,
    settings: JudgeSettings,
    *,
    evaluation_id: str,
    scopes: tuple[BudgetScope, ...] = (),
    cache: bool = False,
) -> JudgeRequest:
    """Return the request that judges `generation` as `definition` says.

    Args:
        settings: their prompt limit and weights apply everywhere.
        evaluation_id: names the run in fair queues and in the call's marker; any text for a run without an evaluation.
        scopes: the budgets that the run draws on; none for a run that somebody watches.
        cache: whether a verdict on identical input may be reused, if the definition allows it too.
    """
    request = JudgeRequest(
        team_id=generation.team_id,
        evaluation_id=evaluation_id,
        fingerprint=fingerprint_of(definition),
        criteria=definition.prompt or "",
        contract=contract_of(definition.output_config),
        endpoint=resolved.endpoint,
        model=resolved.model,
        transcript=transcribe(generation.input, generation.output, generation.properties.get("$ai_tools")),
        errored=is_errored(generation.properties),
        scopes=scopes,
        cache=cache and definition.cache_verdicts,
        weight=settings.weights.get(evaluation_id, 1.0),
        team_weight=settings.weights.get(str(generation.team_id), 1.0),
        max_chars=settings.max_prompt_chars,
        max_output_tokens=settings.max_output_tokens,
    )
    chosen = definition.model_configuration
    if chosen is None or chosen.strategy is None:
        return request
    return replace(request, plan=_plan_of(chosen.strategy, request, resolved, generation, settings.hog_limit_s))


def _plan_of(
    strategy: Strategy, request: JudgeRequest, resolved: ResolvedModel, generation: Generation, hog_limit_s: float
) -> JudgePlan:
    """Return the requests of a strategy's steps.

    Args:
        resolved: without steps of its own if no key and model can be found; the texts are the same.
    """
    models = iter(resolved.steps or (resolved,) * len(strategy.model_steps))
    decider = len(strategy.steps) - 1 if strategy.escalate_on_split else None
    steps: list[PlannedStep] = []
    for position, step in enumerate(strategy.steps):
        if isinstance(step, HogStep):
            steps.append(PlannedStep(code=partial(_hog_evaluator(step.hog).judge, generation, hog_limit_s)))
            continue
        model = next(models)
        # The confidence of a jury is its votes, so that only single answers are asked for theirs.
        alone = step.votes == 1 and (strategy.kind != "jury" or position == decider)
        asked = replace(request, endpoint=model.endpoint, model=model.model, logprobs=alone)
        steps.append(PlannedStep(request=asked, votes=step.votes))
    return JudgePlan(strategy.kind, tuple(steps), strategy.escalate_below, strategy.escalate_on_split)


@lru_cache(maxsize=256)
def _hog_evaluator(source: str) -> HogEvaluator:
    return HogEvaluator(source, allows_na=True)  # null passes on to the next step


def try_hog(
    evaluator: HogEvaluator,
    generations: Iterable[Generation],
    settings: JudgeSettings,
    *,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Verdict | Skip]:
    """Yield the outcome of each generation for somebody who waits: the one that a live run has, or why it was not run.

    Args:
        settings: `hog_limit_s` is the time of one run, as it is live. No run starts after `TRY_OUT_S` for all of them.
        now: seconds.
    """
    end = now() + TRY_OUT_S
    for generation in generations:
        if now() < end:
            yield evaluator.judge(generation, settings.hog_limit_s)
        else:
            yield NOT_RUN


def estimate_of(
    definition: EvaluationDraft,
    resolved: ResolvedModel | None,
    generation: Generation,
    settings: JudgeSettings,
    price: Price,
) -> RunEstimate:
    """Return what the run that judges `generation` would use: nothing for Hog, and for a generation that failed.

    Args:
        resolved: None if no key and model can be found: the tokens are the same, and the cost is not known.
    """
    if definition.prompt is None:
        return RunEstimate(0, 0, 0.0)
    request = request_of(definition, resolved or _ANY_MODEL, generation, settings, evaluation_id="")
    if request.errored:
        return RunEstimate(0, 0, 0.0)
    found = estimate(request, price)
    return found if resolved is not None else replace(found, cost_usd=None)


def fingerprint_of(definition: EvaluationDraft) -> str:
    """Return the fingerprint of a definition. A stored one carries it, because hashing takes time in every run."""
    return definition.fingerprint if isinstance(definition, Evaluation) else definition.fingerprint_of_judging()


def contract_of(config: OutputConfig) -> OutputContract:
    """Return the answer that a judge is asked for, by an evaluation's output configuration."""
    match config:
        case BooleanOutput():
            return OutputContract(type="boolean", allows_na=config.allows_na)
        case NumericOutput():
            return OutputContract(
                type="numeric", allows_na=config.allows_na, minimum=config.min, maximum=config.max, step=config.step
            )
        case CategoricalOutput():
            return OutputContract(
                type="categorical",
                allows_na=config.allows_na,
                options=tuple((option.key, option.label) for option in config.options),
                multiple=config.selection_mode == "multiple",
            )
