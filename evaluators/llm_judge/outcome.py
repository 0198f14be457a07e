"""What is asked of a judge, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.output import OutputContract
from evaluators.llm_judge.prompt import DEFAULT_MAX_CHARS, Transcript
from evaluators.llm_judge.providers import Endpoint
from evaluators.verdict import JudgeUsage, Skip, Verdict

Price = Callable[[str, str, int, int], float | None]
"""From provider, model, input and output tokens to US dollars; None if the table has no price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRequest:
    """One run to be made.

    Attributes:
        fingerprint: of the definition; part of the cache's key.
        errored: the generation itself failed (`$ai_is_error`): there is nothing to judge.
        scopes: the budgets that it draws on.
        cache: whether a verdict may be used again.
        weight, team_weight: shares where calls have to wait, of the evaluation within its team and of the team.
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


@dataclass(frozen=True, slots=True)
class Judged:
    """The run gave a verdict, or a skip; `usage` is None if no model was called."""

    outcome: Verdict | Skip
    usage: JudgeUsage | None


@dataclass(frozen=True, slots=True)
class Parked:
    """The run cannot be made now and is to be tried later.

    Attributes:
        cause: a kind of failure, `trial_limit_reached`, `congested` or `budget_busy`.
        wait_s: not before; what the provider asked for, or until the next probe. None if nothing says.
        counts: whether this was an attempt at the run. Waiting in line is none.
    """

    cause: str
    detail: str
    wait_s: float | None = None
    counts: bool = True


@dataclass(frozen=True, slots=True)
class NotRun:
    """The run is not made and not tried again: the budget of `scope` is used up."""

    scope: BudgetScope
    detail: str


RunOutcome = Judged | Parked | NotRun
