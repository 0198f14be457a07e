"""Several models, one verdict: juries and cascades.

    jury      members at once ──majority──▶ verdict
                              └─no majority─▶ the model that decides, or the skip `jury_no_majority`
    cascade   step ──sure──▶ verdict
                   └─unsure, split, skipped─▶ the next step; the verdict of the last one stands

Each call is a run of its own: it reserves its budget, passes its gate and asks the cache. Where one of them cannot be
made now, the run is parked with the answers that it has, and the next try makes only the others. A vote that could not
change a majority is not waited for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import msgspec

from evaluators.llm_judge.outcome import (
    Judged,
    JudgePlan,
    JudgeRequest,
    NotRun,
    Parked,
    PlannedStep,
    RunOutcome,
    SampleAnswer,
)
from evaluators.verdict import ConfidenceSource, JudgeUsage, Skip, StepUsage, Verdict

Ask = Callable[[JudgeRequest], Awaitable[RunOutcome]]
SAMPLE_TEMPERATURE = 1.0
"""Several answers of one model at temperature 0 would be one answer, and their share would say nothing."""

_Call = tuple[int, int]
"""A step's index, and which of its votes."""
_Class = bool | float | frozenset[str] | str
_NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class _Stage:
    """Steps that are asked at once. `last`: nothing follows."""

    steps: tuple[int, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class _Tally:
    """The joint outcome of a stage's answers.

    Attributes:
        winner: the answer that decided, or None without a majority.
        verdict: that follows from all answers.
        share: of the votes that agree.
    """

    winner: SampleAnswer | None = None
    verdict: Verdict | None = None
    share: float = 0.0


async def run_plan(request: JudgeRequest, plan: JudgePlan, ask: Ask) -> RunOutcome:
    """Return the outcome of a strategy.

    Args:
        request: with the answers of earlier tries.
        ask: makes one run.
    """
    answers = {(each.step, each.sample): each for each in request.answers if _is_of(each, plan)}
    for stage in _stages(plan):
        calls = [(step, sample) for step in stage.steps for sample in range(plan.steps[step].votes)]
        obstacle = await _ask_all(plan, [call for call in calls if call not in answers], answers, ask)
        given = [answers[call] for call in calls if call in answers]
        tally = _tally(given, missing=len(calls) - len(given))
        if obstacle is not None and tally.verdict is None:
            if isinstance(obstacle, NotRun):
                return obstacle
            return replace(obstacle, answers=tuple(answers[call] for call in sorted(answers)))
        if tally.verdict is not None and (stage.last or _is_sure(plan, stage, tally, len(calls))):
            return _judged(plan, answers, tally, len(calls))
    return _without_verdict(plan, answers)


def _is_of(answer: SampleAnswer, plan: JudgePlan) -> bool:
    return 0 <= answer.step < len(plan.steps) and 0 <= answer.sample < plan.steps[answer.step].votes


def _stages(plan: JudgePlan) -> list[_Stage]:
    count = len(plan.steps)
    if plan.kind != "jury":
        return [_Stage((step,), step == count - 1) for step in range(count)]
    if plan.escalate_on_split:
        return [_Stage(tuple(range(count - 1)), False), _Stage((count - 1,), True)]
    return [_Stage(tuple(range(count)), True)]


async def _ask_all(
    plan: JudgePlan, calls: Sequence[_Call], answers: dict[_Call, SampleAnswer], ask: Ask
) -> Parked | NotRun | None:
    """Make calls at once and add their answers. Return what keeps one of them from being made, if anything does."""
    found = await asyncio.gather(
        *(_ask(plan.steps[step], sample, ask) for step, sample in calls), return_exceptions=True
    )
    obstacles: list[Parked | NotRun] = []
    for (step, sample), outcome in zip(calls, found, strict=True):
        if isinstance(outcome, BaseException):
            raise outcome  # only now, because the others settle their budgets first
        if isinstance(outcome, Judged):
            answers[step, sample] = _answer(step, sample, outcome)
        else:
            obstacles.append(outcome)
    # A budget that is used up ends the run; a wait would only be followed by the same end.
    return min(obstacles, key=lambda each: isinstance(each, Parked), default=None)


async def _ask(step: PlannedStep, sample: int, ask: Ask) -> RunOutcome:
    if step.request is not None:
        if step.votes == 1:
            return await ask(step.request)
        return await ask(replace(step.request, sample=sample + 1, temperature=SAMPLE_TEMPERATURE, logprobs=False))
    if step.code is None:
        raise ValueError("a step has neither a model nor code")
    return Judged(await asyncio.to_thread(step.code), None)


def _answer(step: int, sample: int, judged: Judged) -> SampleAnswer:
    if isinstance(judged.outcome, Skip):
        return SampleAnswer(step, sample, skip=judged.outcome, usage=judged.usage)
    return SampleAnswer(step, sample, verdict=judged.outcome, usage=judged.usage)


# -- votes ----------------------------------------------------------------------------------------


def _class_of(verdict: Verdict) -> _Class:
    if not verdict.applicable:
        return _NOT_APPLICABLE
    if verdict.categories is not None:
        return frozenset(verdict.categories)
    return bool(verdict.result)


def _tally(answers: Sequence[SampleAnswer], *, missing: int) -> _Tally:
    """Return the class with more than half of the votes. A skip is not a vote; `missing` ones may go either way."""
    votes = [each for each in answers if each.verdict is not None]
    voting = len(votes) + missing
    scores = [each.verdict.score for each in votes if each.verdict and each.verdict.score is not None]
    if scores and 2 * len(scores) > voting and not missing:
        return _median(votes, scores)
    counts = Counter(_class_of(each.verdict) for each in votes if each.verdict and each.verdict.score is None)
    for name, count in counts.most_common(1):
        if 2 * count > voting:
            winner = next(each for each in votes if each.verdict and _class_of(each.verdict) == name)
            return _Tally(winner, winner.verdict, count / len(votes))
    return _Tally()


def _median(votes: Sequence[SampleAnswer], scores: Sequence[float]) -> _Tally:
    middle = float(median(scores))
    scored = [each for each in votes if each.verdict and each.verdict.score is not None]
    winner = min(scored, key=lambda each: _distance(each, middle))
    verdict = None if winner.verdict is None else msgspec.structs.replace(winner.verdict, score=middle)
    return _Tally(winner, verdict, sum(score == middle for score in scores) / len(votes))


def _distance(answer: SampleAnswer, middle: float) -> float:
    score = None if answer.verdict is None else answer.verdict.score
    return float("inf") if score is None else abs(score - middle)


def _confidence(plan: JudgePlan, tally: _Tally, calls: int) -> tuple[float | None, ConfidenceSource | None]:
    verdict = tally.verdict
    if calls > 1:
        if verdict is None or verdict.score is not None:
            return None, None  # scores that differ a little are not votes against each other
        return tally.share, "votes" if plan.kind == "jury" else "samples"
    sure = None if verdict is None else verdict.confidence
    return sure, None if sure is None else "logprobs"


def _is_sure(plan: JudgePlan, stage: _Stage, tally: _Tally, calls: int) -> bool:
    """Whether the verdict of a stage that is not the last one stands."""
    if plan.kind == "jury":
        return True
    step = plan.steps[stage.steps[0]]
    if step.code is not None:
        return tally.verdict is not None and tally.verdict.applicable
    if plan.escalate_on_split and calls > 1 and tally.share < 1:
        return False
    sure, _ = _confidence(plan, tally, calls)
    return sure is not None and sure >= plan.escalate_below


# -- the outcome ----------------------------------------------------------------------------------


def _judged(plan: JudgePlan, answers: dict[_Call, SampleAnswer], tally: _Tally, calls: int) -> Judged:
    if tally.verdict is None:
        raise ValueError("a stage without a verdict does not decide")
    sure, source = _confidence(plan, tally, calls)
    usage = _usage(plan, answers, tally.winner)
    if usage is not None:
        usage = replace(usage, confidence_source=source)
    return Judged(msgspec.structs.replace(tally.verdict, confidence=sure), usage)


def _without_verdict(plan: JudgePlan, answers: dict[_Call, SampleAnswer]) -> Judged:
    """Return the skip of the last step if that step is one call; otherwise a skip for a missing majority."""
    last = [answers[call] for call in sorted(answers) if call[0] == len(plan.steps) - 1]
    skip = last[0].skip if len(last) == 1 and (plan.kind != "jury" or plan.escalate_on_split) else None
    if skip is None:
        found = Counter(each.skip.reason if each.skip else "verdict" for each in answers.values())
        detail = ", ".join(f"{count} × {name}" for name, count in sorted(found.items()))
        skip = Skip("jury_no_majority", f"no verdict has more than half of the votes ({detail})")
    return Judged(skip, _usage(plan, answers, last[-1] if last else None))


def _usage(plan: JudgePlan, answers: dict[_Call, SampleAnswer], decided: SampleAnswer | None) -> JudgeUsage | None:
    """Return the sums over all answers, under the name of the model that decided."""
    ordered = [answers[call] for call in sorted(answers)]
    steps = tuple(_step_usage(plan, each) for each in ordered)
    used = [each.usage for each in ordered if each.usage is not None]
    named = decided.usage if decided is not None and decided.usage is not None else (used[-1] if used else None)
    if named is None:
        return JudgeUsage("hog", "hog", cost_usd=0.0, steps=steps) if steps else None
    costs = [each.cost_usd for each in used]
    known = [cost for cost in costs if cost is not None]
    return replace(
        named,
        input_tokens=sum(each.input_tokens for each in used),
        output_tokens=sum(each.output_tokens for each in used),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        latency_s=round(sum(each.latency_s for each in used), 6),
        cached=all(each.cached for each in used),
        truncated=any(each.truncated for each in used),
        truncated_to=min((each.truncated_to for each in used if each.truncated_to is not None), default=None),
        tokens_estimated=any(each.tokens_estimated for each in used),
        steps=steps,
    )


def _step_usage(plan: JudgePlan, answer: SampleAnswer) -> StepUsage:
    request, usage, verdict = plan.steps[answer.step].request, answer.usage, answer.verdict
    return StepUsage(
        step=answer.step + 1,
        model="hog" if request is None else request.model,
        provider="hog" if request is None else request.endpoint.provider,
        verdict=None if verdict is None else _shown(verdict),
        confidence=None if verdict is None else verdict.confidence,
        cost_usd=0.0 if request is None else None if usage is None else usage.cost_usd,
        latency_s=0.0 if usage is None else usage.latency_s,
        cached=usage is not None and usage.cached,
        skip_reason=None if answer.skip is None else answer.skip.reason,
    )


def _shown(verdict: Verdict) -> bool | float | str | list[str]:
    if not verdict.applicable:
        return _NOT_APPLICABLE
    if verdict.score is not None:
        return verdict.score
    return list(verdict.categories) if verdict.categories is not None else bool(verdict.result)
