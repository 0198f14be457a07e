"""Runs that need no call of their own: the cache has the verdict, or an identical run in flight brings it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from evaluators.llm_judge.budget import BudgetScope
from evaluators.llm_judge.cache import InFlight, VerdictCache, cache_key
from evaluators.llm_judge.outcome import Judged, JudgeRequest, RunOutcome
from evaluators.llm_judge.shortening import cut_of
from evaluators.llm_judge.surroundings import Observe
from evaluators.verdict import JudgeUsage, Verdict

_Place = tuple[str, str, tuple[BudgetScope, ...]]
"""Evaluation, key and budgets of a run: an obstacle to one run stops all runs of the same place."""
Make = Callable[[JudgeRequest], Awaitable[RunOutcome]]
"""Makes a run by calls of a model."""


class Reuse:
    """Answers runs by verdicts that were given before. Belongs to one event loop."""

    def __init__(self, cache: VerdictCache, observe: Observe) -> None:
        self._cache = cache
        self._observe = observe
        self._in_flight: InFlight[tuple[RunOutcome, _Place]] = InFlight()

    async def run(self, request: JudgeRequest, make: Make) -> RunOutcome:
        """Return the verdict that is known for `request`, or the outcome of `make`, whose verdict is kept.

        Identical runs in flight share a verdict. They share an obstacle only if they have evaluation, key and budgets
        in common.
        """
        if not request.cache:
            return await make(request)
        key = _key(request)
        verdict = await self._cache.get(key)
        if verdict is not None:
            return self._reused(request, verdict)
        mine = _place(request)

        async def made() -> tuple[RunOutcome, _Place]:
            return await self._make_and_keep(request, key, make), mine

        (outcome, place), shared = await self._in_flight.share(key, made)
        if shared and not isinstance(outcome, Judged) and place != mine:
            # A budget that is used up or a key that fails stops the runs that depend on it, and not this one. Runs of
            # one place still share, so that a flood of identical events does not call a failing provider for each.
            (outcome, _), shared = await self._in_flight.share((key, mine), made)
        if not shared or not isinstance(outcome, Judged):
            return outcome
        if isinstance(outcome.outcome, Verdict):
            return self._reused(request, outcome.outcome)
        return await make(request)  # a skip may be of the moment, so that it is not shared

    async def _make_and_keep(self, request: JudgeRequest, key: str, make: Make) -> RunOutcome:
        outcome = await make(request)
        if isinstance(outcome, Judged) and isinstance(outcome.outcome, Verdict):
            await self._cache.put(key, outcome.outcome)
        return outcome

    def _reused(self, request: JudgeRequest, verdict: Verdict) -> Judged:
        self._observe(request, "cached", 0.0, None)
        endpoint = request.endpoint
        usage = JudgeUsage(
            model=request.model,
            provider=endpoint.provider,
            cost_usd=0.0,
            key_type=endpoint.key_type,
            key_id=endpoint.key_id,
            cached=True,
            # The limit of the call that made the verdict is not kept with it.
            truncated=cut_of(request.transcript, request.max_chars) is not None,
        )
        return Judged(verdict, usage)


def _place(request: JudgeRequest) -> _Place:
    return request.evaluation_id, request.endpoint.identity(), request.scopes


def _key(request: JudgeRequest) -> str:
    return cache_key(
        request.team_id,
        request.fingerprint,
        request.transcript,
        model=request.model,
        address=request.endpoint.address,
        sample=request.sample,
    )
