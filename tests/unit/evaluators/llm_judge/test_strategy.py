"""Juries and cascades: which steps are asked, what they come to, and that no step is paid twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from evaluators.llm_judge import Judged, JudgeRequest, NotRun, OutputContract, Parked, RunOutcome
from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.estimate import estimate
from evaluators.llm_judge.outcome import JudgePlan, PlannedStep, SampleAnswer
from evaluators.llm_judge.providers import make_endpoint
from evaluators.llm_judge.strategy import SAMPLE_TEMPERATURE, run_plan
from evaluators.llm_judge.transcript import transcribe
from evaluators.verdict import JudgeUsage, Skip, Verdict
from tests.unit.evaluators.llm_judge.bench_of_judges import Bench
from tests.unit.evaluators.llm_judge.test_judge import judging

PASS, FAIL, NA = Verdict(result=True), Verdict(result=False), Verdict(applicable=False)
SCOPE = BudgetScope(owner="evaluation:e1", period="day", tokens=1_000)
BASE = JudgeRequest(
    team_id=1, evaluation_id="e1", fingerprint="f", criteria="Polite.", contract=OutputContract(allows_na=True),
    endpoint=make_endpoint("custom", "k", base_url="http://models.test/v1"), model="m0",
    transcript=transcribe("q", "a", None),
)  # fmt: skip


def sure(verdict: Verdict, confidence: float) -> Verdict:
    return Verdict(result=verdict.result, applicable=verdict.applicable, confidence=confidence)


def scored(value: float) -> Verdict:
    return Verdict(score=value)


def plan(kind: Any, steps: int, *, votes: int = 1, below: float = 0.9, on_split: bool = False) -> JudgePlan:
    asked = tuple(PlannedStep(replace(BASE, model=f"m{at}", logprobs=True), votes) for at in range(steps))
    return JudgePlan(kind, asked, below, on_split)


class Models:
    """Answers by the name of the model, in their order, at one cent each."""

    def __init__(self, **answers: Verdict | Skip | Parked | NotRun | Sequence[Any]) -> None:
        self._answers = {name: list(each) if isinstance(each, list) else [each] for name, each in answers.items()}
        self.asked: list[JudgeRequest] = []

    async def __call__(self, request: JudgeRequest) -> RunOutcome:
        self.asked.append(request)
        left = self._answers[request.model]
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Parked | NotRun):
            return found
        usage = JudgeUsage(request.model, "custom", input_tokens=10, output_tokens=1, cost_usd=0.01, latency_s=1.0)
        return Judged(found, usage)

    @property
    def names(self) -> list[str]:
        return [request.model for request in self.asked]


def outcome(chosen: JudgePlan, models: Models, answers: tuple[SampleAnswer, ...] = ()) -> RunOutcome:
    return asyncio.run(run_plan(replace(BASE, plan=chosen, answers=answers), chosen, models))


def judged(chosen: JudgePlan, models: Models) -> tuple[Verdict | Skip, JudgeUsage]:
    found = outcome(chosen, models)
    assert isinstance(found, Judged)
    assert found.usage is not None
    return found.outcome, found.usage


SKIP = Skip("content_filtered", "declined")


@pytest.mark.parametrize(
    ("votes", "expected", "share"),
    [
        ([PASS, PASS, FAIL], True, 2 / 3),
        ([FAIL, PASS, FAIL], False, 2 / 3),
        ([PASS, PASS, PASS], True, 1.0),
        ([PASS, SKIP, SKIP], True, 1.0),
        ([NA, NA, FAIL], None, 2 / 3),
    ],
)
def test_a_class_with_more_than_half_of_the_votes_wins_and_a_skip_is_not_a_vote(
    votes: list[Verdict | Skip], expected: bool | None, share: float
) -> None:
    found, usage = judged(plan("jury", 3), Models(m0=votes[0], m1=votes[1], m2=votes[2]))
    assert isinstance(found, Verdict)
    assert (found.result, found.applicable) == (expected, expected is not None)
    assert found.confidence == pytest.approx(share)
    assert usage.confidence_source == "votes"
    assert usage.cost_usd == pytest.approx(0.03)
    assert usage.input_tokens == 30
    assert [step.step for step in usage.steps] == [1, 2, 3]


@pytest.mark.parametrize("votes", [[PASS, FAIL, NA], [PASS, FAIL, SKIP], [SKIP, SKIP, SKIP]])
def test_no_majority_is_a_skip_that_names_the_answers(votes: list[Verdict | Skip]) -> None:
    found, usage = judged(plan("jury", 3), Models(m0=votes[0], m1=votes[1], m2=votes[2]))
    assert isinstance(found, Skip)
    assert found.reason == "jury_no_majority"
    assert len(usage.steps) == 3
    assert usage.cost_usd == pytest.approx(0.03)


def test_a_split_jury_asks_the_model_that_decides_and_an_agreed_one_does_not() -> None:
    chosen = plan("jury", 3, on_split=True)
    split = Models(m0=PASS, m1=FAIL, m2=sure(FAIL, 0.7))
    found, usage = judged(chosen, split)
    assert found == sure(FAIL, 0.7)
    assert usage.model == "m2"
    assert split.names == ["m0", "m1", "m2"]
    agreed = Models(m0=PASS, m1=PASS, m2=FAIL)
    assert judged(chosen, agreed)[0] == sure(PASS, 1.0)
    assert agreed.names == ["m0", "m1"]


def test_scores_take_the_median_and_say_nothing_of_confidence() -> None:
    found, usage = judged(plan("jury", 4), Models(m0=scored(1), m1=scored(4), m2=scored(5), m3=scored(3)))
    assert found == scored(3.5)
    assert usage.confidence_source is None


def test_several_categories_are_one_class_whatever_their_order() -> None:
    ab, ba = Verdict(categories=("a", "b")), Verdict(categories=("b", "a"))
    assert judged(plan("jury", 3), Models(m0=ab, m1=ba, m2=Verdict(categories=("a",))))[0] == Verdict(
        categories=("a", "b"), confidence=2 / 3
    )


@pytest.mark.parametrize(
    ("first", "steps"),
    [
        (sure(PASS, 0.95), 1),
        (sure(PASS, 0.9), 1),
        (sure(PASS, 0.89), 2),
        (PASS, 2),
        (SKIP, 2),
        (sure(NA, 0.99), 1),
    ],
)
def test_a_cascade_goes_on_when_a_step_is_unsure_or_skipped(first: Verdict | Skip, steps: int) -> None:
    models = Models(m0=first, m1=FAIL)
    found, usage = judged(plan("cascade", 2), models)
    assert models.names == ["m0", "m1"][:steps]
    assert usage.cost_usd == pytest.approx(0.01 * steps)
    assert found == (first if steps == 1 else FAIL)


def test_the_skip_of_the_last_step_is_that_of_the_run() -> None:
    assert judged(plan("cascade", 2), Models(m0=PASS, m1=SKIP))[0] == SKIP


def test_samples_of_one_model_are_drawn_apart_and_their_share_is_the_confidence() -> None:
    models = Models(m0=[PASS, PASS, FAIL], m1=FAIL)
    found, usage = judged(plan("cascade", 2, votes=3, below=0.6), models)
    assert found == sure(PASS, 2 / 3)
    assert usage.confidence_source == "samples"
    assert [request.sample for request in models.asked] == [1, 2, 3]
    assert {request.temperature for request in models.asked} == {SAMPLE_TEMPERATURE}
    split = Models(m0=[PASS, PASS, FAIL], m1=FAIL)
    assert judged(plan("cascade", 2, votes=3, below=0.6, on_split=True), split)[0] == sure(FAIL, 1.0)


def test_code_decides_before_any_model_and_passes_on_with_null() -> None:
    steps = plan("cascade", 1).steps
    for code, expected, asked in ((PASS, PASS, 0), (NA, FAIL, 1), (Skip("hog_error", "slow"), FAIL, 1)):
        models = Models(m0=FAIL)
        chosen = JudgePlan("cascade", (PlannedStep(code=lambda code=code: code), *steps), 0.9, False)
        found, usage = judged(chosen, models)
        assert (found, len(models.asked)) == (expected, asked)
        assert usage.steps[0].provider == "hog"
        assert usage.cost_usd == pytest.approx(0.01 * asked)


DOWN = Parked("unavailable", "down", 3.0)


def test_a_vote_that_cannot_change_the_majority_is_not_waited_for() -> None:
    found, usage = judged(plan("jury", 3), Models(m0=PASS, m1=PASS, m2=DOWN))
    assert isinstance(found, Verdict)
    assert found.result is True
    assert len(usage.steps) == 2


def test_a_vote_that_could_change_it_parks_the_run_with_the_answers_so_far() -> None:
    chosen = plan("jury", 3)
    parked = outcome(chosen, Models(m0=PASS, m1=FAIL, m2=DOWN))
    assert isinstance(parked, Parked)
    assert parked.cause == "unavailable"
    assert [(each.step, each.verdict) for each in parked.answers] == [(0, PASS), (1, FAIL)]
    later = Models(m2=PASS)
    again = outcome(chosen, later, parked.answers)
    assert isinstance(again, Judged)
    assert again.usage is not None
    assert later.names == ["m2"]
    assert again.usage.cost_usd == pytest.approx(0.03)


def test_a_median_waits_for_every_score() -> None:
    assert isinstance(outcome(plan("jury", 3), Models(m0=scored(1), m1=scored(1), m2=DOWN)), Parked)


def test_answers_of_steps_that_are_gone_are_passed_over() -> None:
    stale = (SampleAnswer(7, 0, verdict=PASS), SampleAnswer(0, 3, verdict=PASS), SampleAnswer(-1, 0, verdict=PASS))
    models = Models(m0=sure(FAIL, 1.0), m1=FAIL)
    found = outcome(plan("cascade", 2), models, stale)
    assert isinstance(found, Judged)
    assert found.outcome == sure(FAIL, 1.0)
    assert models.names == ["m0"]


def test_a_step_over_budget_ends_the_run_and_an_unsure_verdict_never_stands_in_for_it() -> None:
    found = outcome(plan("cascade", 2), Models(m0=sure(PASS, 0.5), m1=NotRun(SCOPE, "used up")))
    assert isinstance(found, NotRun)
    both = outcome(plan("jury", 2), Models(m0=DOWN, m1=NotRun(SCOPE, "used up")))
    assert isinstance(both, NotRun)


def test_a_defect_in_one_member_is_raised_after_the_others_have_ended() -> None:
    ended: list[str] = []

    async def ask(request: JudgeRequest) -> RunOutcome:
        if request.model == "m0":
            raise KeyError("defect")
        await asyncio.sleep(0.01)
        ended.append(request.model)
        return Judged(PASS, None)

    chosen = plan("jury", 3)
    with pytest.raises(KeyError):
        asyncio.run(run_plan(replace(BASE, plan=chosen), chosen, ask))
    assert ended == ["m1", "m2"]


def test_the_cost_is_unknown_if_that_of_one_step_is() -> None:
    async def ask(request: JudgeRequest) -> RunOutcome:
        return Judged(PASS, JudgeUsage(request.model, "custom", cost_usd=None if request.model == "m1" else 0.01))

    chosen = plan("jury", 2)
    found = asyncio.run(run_plan(replace(BASE, plan=chosen), chosen, ask))
    assert isinstance(found, Judged)
    assert found.usage is not None
    assert found.usage.cost_usd is None


def test_of_several_limits_the_smallest_is_kept() -> None:
    limits = {"m0": 9_000, "m1": 4_000}

    async def ask(request: JudgeRequest) -> RunOutcome:
        limit = limits.get(request.model)
        return Judged(PASS, JudgeUsage(request.model, "custom", truncated=limit is not None, truncated_to=limit))

    chosen = plan("jury", 3)
    found = asyncio.run(run_plan(replace(BASE, plan=chosen), chosen, ask))
    assert isinstance(found, Judged)
    assert found.usage is not None
    assert (found.usage.truncated, found.usage.truncated_to) == (True, 4_000)


# -- over the stand-in provider ---------------------------------------------------------------------


def request(bench: Bench, chosen: JudgePlan, **changes: Any) -> JudgeRequest:
    """The bench's request with a strategy of its own models."""
    own = bench.request(cache=False, **changes)
    steps = tuple(
        step if step.request is None else replace(step, request=replace(own, model=step.request.model, logprobs=True))
        for step in chosen.steps
    )
    return replace(own, plan=replace(chosen, steps=steps))


def verdict_of(value: bool) -> str:
    return json.dumps({"reasoning": "The verdict could be false or true.", "verdict": value})


def test_the_confidence_of_a_model_is_read_from_its_log_probabilities() -> None:
    async def work(bench: Bench) -> None:
        bench.script(
            {"match": {"model": "m0"}, "action": {"do": "answer", "content": verdict_of(True), "sure": 0.6}},
            {"match": {"model": "m1"}, "action": {"do": "answer", "content": verdict_of(False), "sure": 0.97}},
        )
        found = await bench.judge.run(request(bench, plan("cascade", 2)))
        assert isinstance(found, Judged)
        assert isinstance(found.outcome, Verdict)
        assert found.outcome.result is False
        assert found.outcome.confidence == pytest.approx(0.97)
        assert found.usage is not None
        assert [step.confidence for step in found.usage.steps] == [pytest.approx(0.6), pytest.approx(0.97)]
        assert found.usage.confidence_source == "logprobs"

    judging(work)


REFUSED_LOGPROBS = [
    {"do": "bad_request", "message": "Unsupported parameter: 'logprobs' is not supported.", "param": "logprobs"},
    {"do": "forbidden", "message": "You are not allowed to request logprobs from this model"},
]


@pytest.mark.parametrize("refusal", REFUSED_LOGPROBS, ids=["400", "403"])
def test_a_model_that_refuses_log_probabilities_is_asked_without_and_that_is_remembered(
    refusal: dict[str, Any],
) -> None:
    async def work(bench: Bench) -> None:
        bench.script({"match": {"contains": "top_logprobs"}, "action": refusal})
        for output, calls in (("Paris.", 3), ("London.", 2)):
            before = len(bench.calls)
            found = await bench.judge.run(request(bench, plan("cascade", 2), output=output, model="m0"))
            assert isinstance(found, Judged), found
            assert isinstance(found.outcome, Verdict)
            assert found.outcome.confidence is None
            # Each model refuses once: without a confidence a cascade asks its next step.
            assert len(bench.calls) - before == (calls + 1 if output == "Paris." else calls)
        assert bench.gates.in_flight == 0

    judging(work)


def test_each_step_reserves_its_budget_and_what_is_settled_is_their_sum() -> None:
    async def work(bench: Bench) -> None:
        scope = BudgetScope(owner="evaluation:e1", period="day", tokens=100_000)
        found = await bench.judge.run(request(bench, plan("jury", 3), scopes=(scope,)))
        assert isinstance(found, Judged)
        assert found.usage is not None
        assert bench.budgets.usage(scope).tokens == found.usage.input_tokens + found.usage.output_tokens
        assert bench.budgets.usage(scope).micro_usd == round(
            sum(step.cost_usd or 0 for step in found.usage.steps) * 1e6
        )
        assert len(bench.calls) == 3

    judging(work, prices={f"m{at}": (1.0, 2.0) for at in range(3)})


def test_the_estimate_is_of_every_call_that_may_be_made() -> None:
    one = estimate(BASE, lambda *_call: 0.5)
    found = estimate(replace(BASE, plan=plan("cascade", 2, votes=3)), lambda *_call: 0.5)
    assert (found.tokens, found.cost_usd) == (6 * one.tokens, 3.0)
    assert estimate(replace(BASE, plan=plan("jury", 2)), lambda *_call: None).cost_usd is None
