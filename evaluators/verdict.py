"""The result of an evaluator for one generation: a verdict, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

SkipReason = Literal[
    "hog_input_error",
    "hog_error",
    "trace_errored",
    "unparsable_response",
    "score_out_of_bounds",
    "context_window_exceeded",
    "content_filtered",
    "jury_no_majority",
]
"""Why a run that was made gave no verdict. Runs that were never made are counted, not skipped."""


class Verdict(msgspec.Struct, frozen=True, gc=False):  # one for every run: a frozen dataclass costs ten times as much
    """A verdict of exactly one output type, or "not applicable".

    `result` (boolean), `score` (numeric) or `categories` (categorical) is set when `applicable`;
    all three are None when the verdict is N/A. `confidence` is the probability of this verdict among all possible ones,
    as far as it is known.
    """

    result: bool | None = None
    score: float | None = None
    categories: tuple[str, ...] | None = None
    applicable: bool = True
    reasoning: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """A run without a verdict. Never a fail, never a pass: it enters no pass rate.

    `detail` says what was wrong and where, for a person; it holds no payload beyond a short value.
    """

    reason: SkipReason
    detail: str
    reasoning: str = ""


VerdictName = Literal["pass", "fail", "scored", "not_applicable", "skipped"]
"""How a result reads under a definition's rule. `scored`: a score or categories without a passing rule."""
VERDICT_NAMES: tuple[VerdictName, ...] = get_args(VerdictName)


def verdict_name(passes: bool | None) -> VerdictName:
    """Return how an applicable verdict reads: None is one that no rule decides."""
    if passes is None:
        return "scored"
    return "pass" if passes else "fail"


ConfidenceSource = Literal["logprobs", "samples", "votes"]
"""Where a confidence comes from: probabilities of the verdict's token, several answers of a model, votes of a jury."""


@dataclass(frozen=True, slots=True)
class StepUsage:
    """One answer on the way to a verdict, for the reader of a result.

    Attributes:
        step: which step of the strategy, from 1.
        model, provider: that answered; `hog` for code.
        verdict: true or false, a score, a list of keys, or `not_applicable`; None if it gave no verdict.
        skip_reason: why it gave none.
    """

    step: int
    model: str
    provider: str
    verdict: bool | float | str | list[str] | None
    confidence: float | None
    cost_usd: float | None
    latency_s: float
    cached: bool
    skip_reason: str | None = None


@dataclass(frozen=True, slots=True)
class JudgeUsage:
    """The use of one judge run, set only if a model was called or its cached verdict was reused.

    Attributes:
        model, provider: of the judge, not of the generation.
        input_tokens, output_tokens: as the provider reported them; 0 for a cached verdict.
        cost_usd: by the price table; None if the model has no price.
        latency_s: wall-clock seconds of all calls of this run.
        key_type: `own` for a team's key, `trial` for the operator's.
        tokens_estimated: the provider reported no usage for a call, so that its tokens are estimated.
        truncated: the judged text was over the prompt's limit and was cut.
        truncated_to: that limit, in characters; of several calls, the smallest. None if nothing was cut, or if it
            is not known because the verdict was reused.
        suspected_injection: the judged text seems to speak to the judge. It is a flag, and changes no verdict.
        steps: of a strategy. The fields above are then sums over all of them, and name the model that decided.
        confidence_source: of the verdict's confidence, if it has one.
    """

    model: str
    provider: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    latency_s: float = 0.0
    key_type: Literal["own", "trial"] = "own"
    key_id: str | None = None
    cached: bool = False
    truncated: bool = False
    truncated_to: int | None = None
    tokens_estimated: bool = False
    suspected_injection: bool = False
    steps: tuple[StepUsage, ...] = ()
    confidence_source: ConfidenceSource | None = None
