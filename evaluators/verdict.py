"""What an evaluator says of one generation: a verdict, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

SkipReason = Literal[
    "hog_input_error",
    "hog_error",
    "trace_errored",
    "unparsable_response",
    "score_out_of_bounds",
    "context_window_exceeded",
    "content_filtered",
]
"""Why a run that was made gave no verdict. Runs that were never made are counted, not skipped."""


class Verdict(msgspec.Struct, frozen=True, gc=False):  # one for every run: a frozen dataclass costs ten times as much
    """A verdict of exactly one output type, or "not applicable".

    `result` (boolean), `score` (numeric) or `categories` (categorical) is set when `applicable`;
    all three are None when the verdict is N/A.
    """

    result: bool | None = None
    score: float | None = None
    categories: tuple[str, ...] | None = None
    applicable: bool = True
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Skip:
    """A run without a verdict. Never a fail, never a pass: it enters no pass rate.

    `detail` says what was wrong and where, for a person; it holds no payload beyond a short value.
    """

    reason: SkipReason
    detail: str
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class JudgeUsage:
    """What one judge run used: set only if a model was called, or its cached verdict reused.

    Attributes:
        model, provider: of the judge, not of the generation.
        input_tokens, output_tokens: as the provider reported them; 0 for a cached verdict.
        cost_usd: by the price table; None if the model has no price.
        latency_s: wall-clock seconds of all calls of this run.
        key_type: `own` for a team's key, `trial` for the operator's.
        truncated: the judged text was over the prompt's limit and was cut.
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
