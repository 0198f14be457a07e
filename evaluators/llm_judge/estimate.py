"""The one estimate of what a judge run uses: for budgets, replays, backfills and the API alike.

Tokens are estimated from the text, because no tokenizer fits every model: four bytes of UTF-8 make a token, which is
near the truth for English and for scripts whose characters take three bytes. A budget reserves the same estimate with
`BUDGET_MARGIN` on top, so that runs at the same time cannot exceed it.
"""

from __future__ import annotations

from dataclasses import dataclass

from evaluators.llm_judge.budget import MICROS, Amount
from evaluators.llm_judge.outcome import JudgePlan, JudgeRequest, Price
from evaluators.llm_judge.prompt import frame_chars

BYTES_PER_TOKEN = 4.0
ANSWER_TOKENS = 150
"""Output of a run: a sentence of reasoning, the verdict, and the little thinking of most models."""


@dataclass(frozen=True, slots=True)
class Margin:
    """Factors by which a budget reserves more than the estimate, of input and of output tokens."""

    input: float
    output: float


BUDGET_MARGIN = Margin(input=4 / 3, output=20 / 3)
"""A third more input, for texts of many short words and for code; 1 000 tokens of output, for models that think."""


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """Tokens and cost of one run.

    Attributes:
        cost_usd: None if the model has no price.
    """

    input_tokens: int
    output_tokens: int
    cost_usd: float | None

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


def tokens_of(text: str) -> int:
    """Return about how many tokens a text has. Linear in its length."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return int(size / BYTES_PER_TOKEN) + 1 if size else 0


def estimate(request: JudgeRequest, price: Price) -> RunEstimate:
    """Return what a run of `request` uses: one call that is answered at once; for a strategy every call it may make."""
    if request.plan is not None:
        return _of_plan(request.plan, price)
    judged = request.transcript
    parts = (*judged.messages, judged.output, *judged.tools)
    chars = sum(map(len, parts))
    tokens = sum(map(tokens_of, parts))
    if chars > request.max_chars:
        tokens = int(tokens * request.max_chars / chars)
    tokens += int(frame_chars(request.criteria, request.contract) / BYTES_PER_TOKEN)
    cost = price(request.endpoint.provider, request.model, tokens, ANSWER_TOKENS)
    return RunEstimate(tokens, ANSWER_TOKENS, cost)


def _of_plan(plan: JudgePlan, price: Price) -> RunEstimate:
    found = [estimate(step.request, price) for step in plan.steps if step.request for _ in range(step.votes)]
    costs = [each.cost_usd for each in found]
    known = [cost for cost in costs if cost is not None]
    return RunEstimate(
        sum(each.input_tokens for each in found),
        sum(each.output_tokens for each in found),
        sum(known) if len(known) == len(costs) else None,
    )


def reservation(request: JudgeRequest, price: Price) -> Amount:
    """Return what a budget sets aside for a run of `request`: its estimate with `BUDGET_MARGIN`."""
    found = estimate(request, price)
    tokens = round(found.input_tokens * BUDGET_MARGIN.input), round(found.output_tokens * BUDGET_MARGIN.output)
    return Amount(sum(tokens), micro_usd(price(request.endpoint.provider, request.model, *tokens)))


def micro_usd(cost_usd: float | None) -> int:
    """Return millionths of a US dollar; an unknown cost counts as nothing."""
    return 0 if cost_usd is None else round(cost_usd * MICROS)
