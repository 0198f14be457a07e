"""The judge: makes one run, whatever its provider does, and returns its outcome.

The steps of a run, in their order; the same numbers stand in the code:

1. a generation that failed is skipped, because it has no output;
2. a strategy asks several times, and each time is a run of its own with the steps 3 to 8;
3. the cache, or an identical run in flight, answers without a call;
4. the breaker of the key and model must be closed;
5. the budgets must have room, and the run reserves its part of them;
6. a run with the operator's key must be one of the team's trial;
7. the run waits for a slot and calls, adapts to refusals, and retries failures that pass;
8. the trial and the budgets are settled by the actual use;
9. text that speaks to the judge is marked.

A run never raises because of a provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from evaluators.injection.detector import is_suspected
from evaluators.llm_judge.budget import (
    Amount,
    BudgetBusy,
    BudgetReservation,
    OverBudget,
    reserve_patiently,
)
from evaluators.llm_judge.cache import InFlight
from evaluators.llm_judge.caller import Caller, Completion
from evaluators.llm_judge.conversation import JudgeExchange, RunUse
from evaluators.llm_judge.estimate import micro_usd, reservation, tokens_of
from evaluators.llm_judge.failures import TRANSIENT, Fault, ProviderFailure
from evaluators.llm_judge.gates import Congested, Gate, GateClosed, Gates
from evaluators.llm_judge.ladder import Ladder
from evaluators.llm_judge.neutral import NeutralProbe
from evaluators.llm_judge.outcome import REFUSED, Judged, JudgeRequest, NotRun, Parked, Price, RunOutcome
from evaluators.llm_judge.prompt import Prompt
from evaluators.llm_judge.providers import PROVIDERS, Endpoint
from evaluators.llm_judge.reuse import Reuse
from evaluators.llm_judge.strategy import run_plan
from evaluators.llm_judge.surroundings import Chance, Observe, Patience, RunStores
from evaluators.verdict import JudgeUsage, Skip, Verdict

_BEHIND = 0.25
"""The share of runs that were parked before, beside new ones of the same evaluation."""


class _Stop(Exception):
    """Ends a run that cannot be made now, or that its budget forbids."""

    def __init__(self, outcome: Parked | NotRun) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


@dataclass(slots=True)
class _Run:
    """State of one run: its use so far, its passing failures, and its deadline in seconds of the loop's clock."""

    request: JudgeRequest
    gate: Gate
    talk: JudgeExchange
    spent: RunUse
    failures: int = 0
    deadline: float | None = None


class Judge:
    """Makes runs. Belongs to one event loop."""

    def __init__(
        self,
        caller: Caller,
        gates: Gates,
        ladder: Ladder,
        stores: RunStores,
        *,
        price: Price,
        patience: Patience,
        chance: Chance,
        observe: Observe = lambda _request, _outcome, _seconds, _completion: None,
    ) -> None:
        self._caller = caller
        self.gates = gates
        self.ladder = ladder
        self._stores = stores
        self._price = price
        self._patience = patience
        self._chance = chance
        self._observe = observe
        self._reuse = Reuse(stores.cache, observe)
        self._probes: InFlight[ProviderFailure | None] = InFlight()
        self._neutral = NeutralProbe(caller, ladder, chance.nonce)

    def gate_of(self, endpoint: Endpoint, model: str) -> Gate:
        """Return the gate that calls with this key to this model pass."""
        return self.gates.gate((endpoint.identity(), model))

    async def run(self, request: JudgeRequest) -> RunOutcome:
        """Make one run; see the module for its steps."""
        if request.errored:  # 1
            detail = "the generation failed ($ai_is_error); there is no output to judge"
            return Judged(Skip("trace_errored", detail), None)
        if request.plan is not None:  # 2
            outcome = await run_plan(request, request.plan, self._run_one)
        else:
            outcome = await self._run_one(request)
        return _marked(request, outcome)  # 9

    async def _run_one(self, request: JudgeRequest) -> RunOutcome:
        return await self._reuse.run(request, self._make)  # 3

    async def _make(self, request: JudgeRequest) -> RunOutcome:
        """Make a run by calls."""
        gate = self.gate_of(request.endpoint, request.model)
        run = _Run(request, gate, JudgeExchange(request, self.ladder), RunUse())
        try:
            self._pass_breaker(run)  # 4
            async with self._reserved(run), self._on_trial(run):  # 5, 6; leaving them is 8
                outcome = await self._converse(run)  # 7
        except _Stop as stop:
            return stop.outcome
        return Judged(outcome, self._usage(request, run.spent))

    # -- before the first call ------------------------------------------------------------------------

    def _pass_breaker(self, run: _Run) -> None:
        """Go on only if the breaker is closed. Most runs of an outage end here, before anything is reserved."""
        breaker = run.gate.breaker
        if breaker.state != "closed":
            raise _Stop(Parked(breaker.cause, breaker.detail, breaker.wait_s(), turned_away=True))

    @asynccontextmanager
    async def _reserved(self, run: _Run) -> AsyncIterator[None]:
        """Hold the run's reservation in its budgets, and settle it at the end by the amount that was used."""
        request, spent = run.request, run.spent
        if not request.scopes:
            yield
            return
        amount = reservation(request, self._price)
        held = await self._reserve(request, amount)
        try:
            yield
        finally:
            cost = self._price(request.endpoint.provider, request.model, spent.input_tokens, spent.output_tokens)
            used = Amount(spent.tokens, micro_usd(cost))
            if spent.pending:  # cancelled in mid-call: its cost is not known, so that all of it counts
                used = Amount(used.tokens + amount.tokens, used.micro_usd + amount.micro_usd)
            await asyncio.shield(self._stores.budgets.settle(held, used))

    async def _reserve(self, request: JudgeRequest, amount: Amount) -> BudgetReservation:
        patience_s, random = self._patience.budget_s, self._chance.random
        try:
            return await reserve_patiently(
                self._stores.budgets, request.scopes, amount, patience_s=patience_s, random=random
            )
        except OverBudget as error:
            detail = f"{error}; it resumes at {error.resumes_at:%Y-%m-%d %H:%M} UTC or when raised"
            raise _Stop(NotRun(error.scope, detail)) from error
        except BudgetBusy as error:
            detail = "runs in flight hold what is left of the budget"
            raise _Stop(Parked("budget_busy", detail, counts=False)) from error

    @asynccontextmanager
    async def _on_trial(self, run: _Run) -> AsyncIterator[None]:
        """Count the run in the team's trial if it uses the operator's key; without an answer it does not count."""
        team_id = run.request.team_id
        if run.request.endpoint.key_type != "trial":
            yield
            return
        if not await self._stores.trial.take(team_id):
            raise _Stop(Parked("trial_limit_reached", "the team's trial runs are used up; add a provider key"))
        try:
            yield
        finally:
            if not run.spent.answers:
                await asyncio.shield(self._stores.trial.give_back(team_id))

    # -- calls ----------------------------------------------------------------------------------------

    async def _converse(self, run: _Run) -> Verdict | Skip:
        """Call until there is a verdict or a skip; adapt to refusals and retry failures that pass."""
        while True:
            started = asyncio.get_running_loop().time()
            try:
                completion = await self._ask(run)
            except ProviderFailure as failure:
                skip = await self._cope(run, failure, started)
                if skip is not None:
                    return skip
                continue
            outcome = run.talk.read(completion)
            if outcome is not None:
                return outcome

    async def _ask(self, run: _Run) -> Completion:
        """Wait for a slot and make one call in it."""
        request, patience = run.request, self._patience
        prompt = run.talk.prompt(self._chance.nonce())
        run.spent.truncated_to = run.talk.max_chars if prompt.truncated else None
        tokens = tokens_of(prompt.system) + tokens_of(prompt.user)
        try:
            async with self.gates.slot(
                run.gate,
                team=request.team_id,
                evaluation=(request.evaluation_id, request.parked_before),
                tokens=tokens,
                weight=request.weight * (_BEHIND if request.parked_before else 1.0),
                team_weight=request.team_weight,
                patience_s=patience.queue_s,
            ):
                # The deadline begins with the first call, because the provider is not to blame for the wait for a slot.
                run.deadline = run.deadline or asyncio.get_running_loop().time() + patience.run_s
                completion = await self._call(run, prompt, run.deadline)
                self.gates.spent(run.gate, estimated=tokens, actual=completion.input_tokens + completion.output_tokens)
                self.gates.succeeded(run.gate)
                return completion
        except GateClosed as closed:
            raise _Stop(Parked(closed.cause, closed.detail, closed.wait_s, turned_away=True)) from closed
        except Congested as congested:
            raise _Stop(Parked("congested", str(congested), counts=False)) from congested

    async def _call(self, run: _Run, prompt: Prompt, deadline: float) -> Completion:
        request, spent = run.request, run.spent
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome = "cancelled"
        completion: Completion | None = None
        spent.pending = True
        try:
            async with asyncio.timeout_at(deadline):
                payload = run.talk.payload(prompt)
                completion = await self._caller.complete(request.endpoint, payload, marker=request.evaluation_id)
            spent.pending = False
            outcome = "answered"
        except TimeoutError as error:
            spent.pending, outcome = False, "unavailable"
            raise _too_late(self._patience.run_s) from error
        except ProviderFailure as failure:
            spent.pending, outcome = False, failure.kind
            raise
        finally:
            took = loop.time() - started
            spent.latency_s += took
            self._observe(request, outcome, took, completion)
        spent.add(completion)
        return completion

    async def _cope(self, run: _Run, failure: ProviderFailure, started_s: float) -> Skip | None:
        """Do what a failed call asks for: another form, less text, a wait. Return the skip that it means, if any.

        Raises:
            _Stop: the run cannot be made now.
        """
        talk = run.talk
        if talk.drop_logprobs(failure):
            return None
        if failure.kind == "bad_request" and talk.proven and await self._neutral_failure(run) is None:
            self.gates.succeeded(run.gate)
            return _refused(failure)  # the form is known to work, so that only the text is left
        if talk.adapt(failure):
            if failure.kind != "bad_request":
                self.gates.succeeded(run.gate)  # a refusal that names its reason shows that key and model work
            return None
        skip = talk.final(failure)
        if skip is not None:
            self.gates.succeeded(run.gate)
            return skip
        if talk.leave_rung(failure, attempts=self._patience.attempts):
            return None
        if failure.fault is Fault.FORM:  # and no form is left
            failure = ProviderFailure("bad_request", failure.detail, status=failure.status)
        run.failures += 1
        if failure.kind in TRANSIENT:
            skip = await self._note_trouble(run, failure, started_s)
        else:
            self.gates.failed(run.gate, failure, started_s=started_s)
            skip = await self._blame(run, failure)
        if skip is None:
            await self._back_off(run, failure)
        return skip

    async def _neutral_failure(self, run: _Run) -> ProviderFailure | None:
        """Return why the provider does not answer a neutral text in the form of this run; None if it answers."""
        return await self._neutral.ask(run.request.endpoint, run.request.model, run.talk.form)

    async def _note_trouble(self, run: _Run, failure: ProviderFailure, started_s: float) -> Skip | None:
        """Count a failure that passes. Ask the neutral text before it opens the breaker for everybody.

        Returns a skip if the provider replied to this text without an answer each time, but answers the neutral one.
        """
        empty = failure.status == 200 and run.failures >= self._patience.attempts
        if not empty and not run.gate.breaker.would_open(failure):
            self.gates.failed(run.gate, failure, started_s=started_s)
            return None
        found = await self._neutral_failure(run)
        if found is None:
            self.gates.succeeded(run.gate)
            return _refused(failure) if empty else None
        self.gates.failed(run.gate, found, started_s=started_s)
        return None

    async def _blame(self, run: _Run, failure: ProviderFailure) -> Skip | None:
        """Have the neutral probe decide whose fault a lasting failure is, as soon as there is reason to doubt.

        There is reason if several runs failed in a row, or if this one was parked before.

        Returns:
            A skip if the provider refused the run a second time and answered the probe both times, else None.

        Raises:
            _Stop: the provider answered the probe: the run is parked, and neither key nor evaluation is at fault.
        """
        request, gate = run.request, run.gate
        if failure.proposes is None or not (gate.breaker.suspected or request.parked_before):
            return None
        verdict, _ = await self._probes.share("".join(gate.key), lambda: self.probe(request.endpoint, request.model))
        if verdict is None and request.refused_before:
            return Skip("content_filtered", f"refused twice while a neutral request was answered: {failure.detail}")
        if verdict is None:
            raise _Stop(Parked(REFUSED, failure.detail))
        if verdict.proposes is not None:
            self.gates.confirmed(gate, verdict)
        return None

    async def _back_off(self, run: _Run, failure: ProviderFailure) -> None:
        """Wait before the next attempt, with full jitter and as long as the provider asks.

        Raises:
            _Stop: another attempt would be too many, too late, or pointless.
        """
        patience, loop = self._patience, asyncio.get_running_loop()
        parked = Parked(failure.kind, failure.detail, failure.retry_after_s)
        if failure.kind not in TRANSIENT or run.failures >= patience.attempts:
            raise _Stop(parked)
        bound = min(patience.retry_max_s, patience.retry_initial_s * 2.0 ** (run.failures - 1))
        # The jitter comes on top of what the provider asks for; otherwise all refused runs return together.
        wait = (failure.retry_after_s or 0.0) + self._chance.random() * bound
        if loop.time() + wait >= (run.deadline or loop.time()):
            raise _Stop(parked)
        await asyncio.sleep(wait)

    # -- the neutral probe ----------------------------------------------------------------------------

    async def probe(self, endpoint: Endpoint, model: str) -> ProviderFailure | None:
        """Ask the neutral text through the gate, and close or reopen its breaker by the answer. None if answered."""
        gate = self.gate_of(endpoint, model)
        started = asyncio.get_running_loop().time()
        try:
            with self.gates.probing(gate):
                failure = await self._neutral.ask(endpoint, model, None)
                if failure is None:
                    self.gates.succeeded(gate)
                else:
                    self.gates.failed(gate, failure, started_s=started)
                return failure
        except GateClosed as closed:
            return ProviderFailure(closed.cause, closed.detail)

    # -- the outcome ----------------------------------------------------------------------------------

    def _usage(self, request: JudgeRequest, spent: RunUse) -> JudgeUsage | None:
        if not spent.answers:
            return None
        endpoint = request.endpoint
        cost = self._price(endpoint.provider, request.model, spent.input_tokens, spent.output_tokens)
        if cost is None and PROVIDERS[endpoint.provider].free:
            cost = 0.0
        return JudgeUsage(
            model=request.model,
            provider=endpoint.provider,
            input_tokens=spent.input_tokens,
            output_tokens=spent.output_tokens,
            cost_usd=cost,
            latency_s=round(spent.latency_s, 6),
            key_type=endpoint.key_type,
            key_id=endpoint.key_id,
            truncated=spent.truncated_to is not None,
            truncated_to=spent.truncated_to,
            tokens_estimated=spent.estimated,
        )


def _too_late(run_s: float) -> ProviderFailure:
    """Return the failure of a run whose deadline passed in mid-call.

    It must not be a local of the caller: its traceback would lead back to it, and the run's text would stay in memory
    until the cyclic collector comes by.
    """
    return ProviderFailure("unavailable", f"the run's deadline of {run_s:g} s passed")


def _marked(request: JudgeRequest, outcome: RunOutcome) -> RunOutcome:
    """Return `outcome`, with a mark if a model judged text that seems to speak to the judge."""
    if isinstance(outcome, Judged) and outcome.usage is not None and seems_injected(request):
        return Judged(outcome.outcome, replace(outcome.usage, suspected_injection=True))
    return outcome


def seems_injected(request: JudgeRequest) -> bool:
    """Return whether the text of a run seems to speak to the judge."""
    judged = request.transcript
    return is_suspected((judged.output, *reversed(judged.messages), *judged.tools), max_chars=request.max_chars)


def _refused(failure: ProviderFailure) -> Skip:
    """Return the skip of a text that the provider refuses, while it answers a neutral one."""
    return Skip("content_filtered", f"the provider refuses this text and answers a neutral one: {failure.detail}")
