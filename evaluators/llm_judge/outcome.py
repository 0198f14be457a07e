"""The request to a judge, and its outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.output import OutputContract
from evaluators.llm_judge.prompt import DEFAULT_MAX_CHARS
from evaluators.llm_judge.providers import Endpoint
from evaluators.llm_judge.transcript import Transcript
from evaluators.verdict import JudgeUsage, Skip, Verdict

REFUSED = "refused"
"""Cause of a run that the provider refused although it answered a neutral probe: its text or its form is at fault."""

DEFAULT_MAX_OUTPUT_TOKENS = 16_000
"""Enough for a model that thinks long; an ordinary answer takes a hundredth of it."""
Price = Callable[[str, str, int, int], float | None]
"""Returns US dollars for provider, model, input and output tokens; None if the table has no price."""


@dataclass(frozen=True, slots=True)
class TracedRun:
    """The event behind a run, for traces.

    Attributes:
        result_id: that the run's result has.
        trace_id: of the event, of any type, because an application may send anything.
    """

    result_id: str
    trace_id: object


class SampleAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome of one call of a strategy, as a parked run carries it: either a verdict or a skip.

    Attributes:
        step: index of the step. sample: which of the step's votes.
    """

    step: int
    sample: int
    verdict: Verdict | None = None
    skip: Skip | None = None
    usage: JudgeUsage | None = None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of a strategy: a model that is asked `votes` times, or code that blocks while it runs."""

    request: JudgeRequest | None = None
    votes: int = 1
    code: Callable[[], Verdict | Skip] | None = None


StrategyKind = Literal["single", "jury", "cascade"]


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """How the steps of a strategy reach one verdict; see `config.strategies.Strategy`."""

    kind: StrategyKind
    steps: tuple[PlannedStep, ...]
    escalate_below: float
    escalate_on_split: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRequest:
    """One run to be made.

    Attributes:
        fingerprint: of the definition; part of the cache's key.
        errored: the generation itself failed (`$ai_is_error`): there is nothing to judge.
        scopes: the budgets that it draws on.
        cache: whether a verdict may be used again.
        weight, team_weight: shares where calls have to wait, of the evaluation within its team and of the team.
        max_chars: most characters of judged text that are sent.
        max_output_tokens: most tokens of an answer, thinking included.
        parked_before: the run was parked before, so it waits for slots behind new runs of its evaluation.
        refused_before: it was parked last because it was refused while the provider answered the neutral probe.
        origin: the event behind the run; None for a run that is not traced.
        temperature: of the call, where the model takes one.
        sample: tells several answers of one model to the same text apart, so that they are not taken for one.
        logprobs: whether to ask for the probabilities that make a confidence.
        plan: of a strategy: the run makes these requests instead of its own.
        answers: to those that were made before the run was parked.
    """

    team_id: int
    evaluation_id: str
    fingerprint: str
    criteria: str
    contract: OutputContract
    endpoint: Endpoint
    model: str
    transcript: Transcript
    errored: bool = False
    scopes: tuple[BudgetScope, ...] = ()
    cache: bool = True
    weight: float = 1.0
    team_weight: float = 1.0
    max_chars: int = DEFAULT_MAX_CHARS
    max_output_tokens: int = DEFAULT_MAX_OUTPUT_TOKENS
    parked_before: bool = False
    refused_before: bool = False
    origin: TracedRun | None = None
    temperature: float = 0
    sample: int = 0
    logprobs: bool = False
    plan: JudgePlan | None = None
    answers: tuple[SampleAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """The run gave a verdict, or a skip; `usage` is None if no model was called."""

    outcome: Verdict | Skip
    usage: JudgeUsage | None


@dataclass(frozen=True, slots=True)
class Parked:
    """The run cannot be made now and is to be tried later.

    Attributes:
        cause: a kind of failure, `REFUSED`, `trial_limit_reached`, `congested` or `budget_busy`.
        wait_s: not before; what the provider asked for, or until the next probe. None if nothing says.
        counts: whether this was an attempt at the run. Waiting in line is none.
        turned_away: no call was made, because the breaker is open.
        answers: of a strategy's calls that were made; the next try does not make them again.
    """

    cause: str
    detail: str
    wait_s: float | None = None
    counts: bool = True
    turned_away: bool = False
    answers: tuple[SampleAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class NotRun:
    """The run is not made and not tried again: the budget of `scope` is used up."""

    scope: BudgetScope
    detail: str


RunOutcome = Judged | Parked | NotRun
