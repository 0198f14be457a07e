"""The surroundings of a judge: its stores, its sources of chance, its patience, and the observer of its calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evaluators.llm_judge.budget import BudgetStore, TrialStore
from evaluators.llm_judge.cache import VerdictCache
from evaluators.llm_judge.caller import Completion
from evaluators.llm_judge.outcome import JudgeRequest

Observe = Callable[[JudgeRequest, str, float, Completion | None], None]
"""Called after every call with its request, its outcome, the seconds that it took, and the answer if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one run tries.

    Attributes:
        run_s: from its first call to its end, retries and waits between them included.
        attempts: calls that may fail in passing before the run is parked.
        retry_initial_s, retry_max_s: bounds of the random wait before a retry; doubles from one to the other.
        queue_s: in line for a slot before the run is set aside.
        budget_s: for other runs' reservations to be settled.
    """

    run_s: float = 180.0
    attempts: int = 4
    retry_initial_s: float = 0.5
    retry_max_s: float = 30.0
    queue_s: float = 120.0
    budget_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStores:
    """The stores of runs: spent amounts, trial runs, and verdicts that may be reused."""

    budgets: BudgetStore
    trial: TrialStore
    cache: VerdictCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """Where randomness comes from.

    Attributes:
        random: uniform in [0, 1), for jitter.
        nonce: unpredictable text of at least 64 bits, new with every call.
    """

    random: Callable[[], float]
    nonce: Callable[[], str]
